"""The innermost steps of word2vec as LLVM vectors, on addresses; :mod:`minigrad.kernels.word2vec_rows` says what they do.

A *window* is m rows of one table (the contexts) against n rows of another (the targets). Taken together, and not pair by pair,
its arithmetic is that of a small matrix product, whose operands stay in registers: Ji et al., "Parallelizing Word2Vec in Shared
and Distributed Memory", 2016, section 3. Here, besides, the scores of a group of targets are summed in one tree of shuffles,
and one pass over the rows adds both gradients.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils

from minigrad.kernels.microkernel import Emitter, instructions, vector_bytes

LINE = 64  # bytes of a cache line, and of the widest vector

MOST = 8  # rows or targets whose addresses are kept at hand

_INT = ir.IntType(64)
_ADDRESS = types.intp


def group(itemsize: int) -> int:
    """How many targets are worked on at a time: as many as leave the sums and the rows in registers."""
    lanes = max(vector_bytes(), 16) // itemsize
    return min(lanes, 8 if vector_bytes() == 64 else 4)


def lone_group(itemsize: int) -> int:
    """As :func:`group`, against a single row, which leaves more registers to the targets."""
    return min(max(vector_bytes(), 16) // itemsize, MOST)


def _loop(builder, count, initial, body):
    """Writes a loop that runs ``count`` times, at least once: ``body(index, values)`` gives the next round's values."""
    before, inside = builder.block, builder.append_basic_block("loop")
    builder.branch(inside)
    builder.position_at_end(inside)
    index, *values = (builder.phi(start.type) for start in (_INT(0), *initial))
    following = body(index, values)
    after_one = builder.add(index, _INT(1))
    end, after = builder.block, builder.append_basic_block("after")
    for phi, start, value in zip([index, *values], [_INT(0), *initial], [after_one, *following]):
        phi.add_incoming(start, before)
        phi.add_incoming(value, end)
    builder.cbranch(builder.icmp_signed("<", after_one, count), inside, after)
    builder.position_at_end(after)
    return following


class _Rows:
    """A table and the list of the row numbers in use, as addresses, so that row j begins at ``base + list[j] * step``."""

    def __init__(self, builder, base, step, numbers):
        self.builder, self.base, self.step, self.numbers = builder, base, step, numbers

    def start(self, j):
        builder = self.builder
        place = builder.add(self.numbers, builder.shl(j, _INT(3)))
        number = builder.load(builder.inttoptr(place, _INT.as_pointer()))
        return builder.add(self.base, builder.mul(number, self.step))


def _lane_sums(e, vectors):
    """A vector whose lane i is the sum of ``vectors[i]``'s lanes; there are as many vectors as lanes.

    Each round makes one vector of two, with half as many partial sums of each. The first rounds stay within 128 bits, where
    shuffles are cheapest.
    """
    unit, lanes = 16 // e.itemsize, e.lanes
    run = 1
    while run < unit:  # of both operands the first halves of each unit, in runs by turns, plus the second halves
        places = [
            s + c + k + y
            for s in range(0, lanes, unit)
            for c in range(0, unit // 2, run)
            for y in (0, lanes)
            for k in range(run)
        ]
        vectors = _fold(e, vectors, places, unit // 2)
        run *= 2
    span = lanes
    while span > unit:  # the first halves of each span, first those of one operand, plus the second halves
        places = [y + s + k for y in (0, lanes) for s in range(0, lanes, span) for k in range(span // 2)]
        vectors = _fold(e, vectors, places, span // 2)
        span //= 2
    return vectors[0]


def _fold(e, vectors, places, distance):
    """Of each two neighbours, the lanes at ``places`` plus those that lie ``distance`` behind them."""
    behind = [place + distance for place in places]
    return [e.builder.fadd(e.shuffle(x, y, places), e.shuffle(x, y, behind)) for x, y in zip(vectors[::2], vectors[1::2])]


def _function(module, name, arguments):
    """``(function, builder)`` of a new function of so many integers; the builder is None where the module has it already."""
    if name in module.globals:
        return module.globals[name], None
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [_INT] * arguments), name)
    function.linkage = "linkonce_odr"
    return function, ir.IRBuilder(function.append_basic_block("entry"))


def _dots_function(module, dtype, targets, width, height):
    """Scores of ``height`` rows at a time against ``targets`` targets, stored ``width`` at a time; there must be ``height``
    rows at least."""
    function, builder = _function(module, f"minigrad_dots_{dtype}_{targets}of{width}x{height}", 10)
    if builder is None:
        return function
    base, step, at, m, others, others_step, chosen, vectors, scores, scores_step = function.args
    e = Emitter(builder, dtype)
    rows, table = _Rows(builder, base, step, at), _Rows(builder, others, others_step, chosen)
    v = [table.start(_INT(q)) for q in range(targets)]
    last = builder.sub(m, _INT(height))
    rounds = builder.udiv(builder.add(m, _INT(height - 1)), _INT(height))

    def some_rows(index, _):
        # The last rows overlap those before them, where m is no multiple of the height.
        j = builder.mul(index, _INT(height))
        j = builder.select(builder.icmp_signed("<", j, last), j, last)
        u = [rows.start(builder.add(j, _INT(i))) for i in range(height)]

        def one_vector(c, sums):
            offset = builder.mul(c, _INT(e.bytes))
            mine = [e.load(builder.add(x, offset)) for x in u]
            theirs = [e.load(builder.add(y, offset)) for y in v]
            return [e.multiply_add(x, y, sums[i * targets + q]) for i, x in enumerate(mine) for q, y in enumerate(theirs)]

        sums = _loop(builder, vectors, [e.zero] * (height * targets), one_vector)
        spread = [e.zero] * e.lanes
        for i in range(height):
            spread[i * width : i * width + targets] = sums[i * targets : (i + 1) * targets]
        whole = _lane_sums(e, spread)
        for i in range(height):
            lanes = ir.Constant(ir.VectorType(ir.IntType(32), width), list(range(i * width, (i + 1) * width)))
            part = builder.shuffle_vector(whole, ir.Constant(whole.type, ir.Undefined), lanes)
            place = builder.add(scores, builder.mul(builder.add(j, _INT(i)), scores_step))
            builder.store(part, builder.inttoptr(place, part.type.as_pointer()), align=1)
        return []

    _loop(builder, rounds, [], some_rows)
    builder.ret_void()
    return function


def _update_function(module, dtype, targets):
    """Both gradients' additions for one group of targets."""
    function, builder = _function(module, f"minigrad_update_{dtype}_{targets}", 13)
    if builder is None:
        return function
    (old, old_step, old_at, base, step, at, m, others, others_step, chosen, vectors, slopes, slopes_step) = function.args
    e = Emitter(builder, dtype)
    source, rows = _Rows(builder, old, old_step, old_at), _Rows(builder, base, step, at)
    table = _Rows(builder, others, others_step, chosen)
    places = [table.start(_INT(q)) for q in range(targets)]
    # A line of the cache at a time shares its slopes and addresses; where it is two vectors, their sums fit the registers.
    wide = 2 if 2 * e.bytes == LINE else 1

    def some_vectors(c, _):
        offsets = [builder.add(builder.mul(c, _INT(wide * e.bytes)), _INT(i * e.bytes)) for i in range(wide)]
        theirs = [[e.load(builder.add(place, offset)) for place in places] for offset in offsets]

        def one_row(j, changes):
            slope = builder.add(slopes, builder.mul(j, slopes_step))
            before, here = source.start(j), rows.start(j)
            x = [e.load(builder.add(before, offset)) for offset in offsets]
            y = [e.load(builder.add(here, offset)) for offset in offsets]
            following = []
            for q in range(targets):
                factor = e.broadcast(e.at(slope, q, e.itemsize))
                for i in range(wide):
                    y[i] = e.multiply_add(factor, theirs[i][q], y[i])
                    following.append(e.multiply_add(factor, x[i], changes[q * wide + i]))
            for offset, value in zip(offsets, y):
                e.store(value, builder.add(here, offset))
            return following

        changes = _loop(builder, m, [e.zero] * (targets * wide), one_row)
        for q, place in enumerate(places):  # read again: a target may be there twice
            for i, offset in enumerate(offsets):
                there = builder.add(place, offset)
                e.store(builder.fadd(e.load(there), changes[q * wide + i]), there)
        return []

    _loop(builder, builder.udiv(vectors, _INT(wide)), [], some_vectors)
    builder.ret_void()
    return function


def _lone_update_function(module, dtype, targets):
    """Both gradients' additions for one row and one group of targets."""
    function, builder = _function(module, f"minigrad_lone_update_{dtype}_{targets}", 8)
    if builder is None:
        return function
    row, error, first, others, others_step, chosen, vectors, slopes = function.args
    e = Emitter(builder, dtype)
    table = _Rows(builder, others, others_step, chosen)
    places = [table.start(_INT(q)) for q in range(targets)]
    factors = [e.broadcast(e.at(slopes, q, e.itemsize)) for q in range(targets)]
    is_first = builder.icmp_signed("!=", first, _INT(0))

    def one_vector(c, _):
        offset = builder.mul(c, _INT(e.bytes))
        x, there = e.load(builder.add(row, offset)), builder.add(error, offset)
        y = builder.select(is_first, e.zero, e.load(there))
        here = [builder.add(place, offset) for place in places]
        for factor, place in zip(factors, here):
            y = e.multiply_add(factor, e.load(place), y)
        e.store(y, there)
        for factor, place in zip(factors, here):  # read again: a target may be there twice
            e.store(e.multiply_add(factor, x, e.load(place)), place)
        return []

    _loop(builder, vectors, [], one_vector)
    builder.ret_void()
    return function


def _sum_rows_function(module, dtype, count):
    """``total = (nothing if first, or total) + factor * the sum of count rows``; the address of the factor is passed."""
    function, builder = _function(module, f"minigrad_sum_rows_{dtype}_{count}", 7)
    if builder is None:
        return function
    base, step, at, first, factor, total, vectors = function.args
    e = Emitter(builder, dtype)
    rows = _Rows(builder, base, step, at)
    starts = [rows.start(_INT(j)) for j in range(count)]
    factor, is_first = e.broadcast(factor), builder.icmp_signed("!=", first, _INT(0))

    def one_vector(c, _):
        offset = builder.mul(c, _INT(e.bytes))
        there = builder.add(total, offset)
        values = [e.load(builder.add(start, offset)) for start in starts]
        while len(values) > 1:  # in pairs: the additions need not wait for each other
            values = [builder.fadd(x, y) for x, y in zip(values[::2], values[1::2])] + values[len(values) & ~1 :]
        e.store(e.multiply_add(factor, values[0], builder.select(is_first, e.zero, e.load(there))), there)
        return []

    _loop(builder, vectors, [], one_vector)
    builder.ret_void()
    return function


def _add_row_function(module, dtype, count):
    """Adds a row to ``count`` rows."""
    function, builder = _function(module, f"minigrad_add_row_{dtype}_{count}", 5)
    if builder is None:
        return function
    base, step, at, row, vectors = function.args
    e = Emitter(builder, dtype)
    rows = _Rows(builder, base, step, at)
    starts = [rows.start(_INT(j)) for j in range(count)]

    def one_vector(c, _):
        offset = builder.mul(c, _INT(e.bytes))
        change = e.load(builder.add(row, offset))
        for start in starts:
            place = builder.add(start, offset)
            e.store(builder.fadd(e.load(place), change), place)
        return []

    _loop(builder, vectors, [], one_vector)
    builder.ret_void()
    return function


def _switch(builder, count, width, call):
    """Calls ``call(k)`` for the value k of ``count``, 1 to ``width``."""
    end = builder.append_basic_block("switch.end")
    switch = builder.switch(count, end)
    for k in range(1, width + 1):
        block = builder.append_basic_block("switch.case")
        switch.add_case(_INT(k), block)
        with builder.goto_block(block):
            call(k)
            builder.branch(end)
    builder.position_at_end(end)


@instructions
def dots_lanes(typingctx, like, base, step, at, m, others, others_step, chosen, n, vectors, scores, scores_step):
    """:func:`minigrad.kernels.word2vec_rows.dots` of at most one group of targets, on addresses."""

    def codegen(context, builder, signature, arguments):
        n, passed = arguments[8], [*arguments[1:8], *arguments[9:]]
        itemsize = like.bitwidth // 8
        width = group(itemsize)
        height = vector_bytes() // itemsize // width

        def call(targets):
            single = builder.icmp_signed("<", arguments[4], _INT(height))
            with builder.if_else(single) as (one, more):
                with one:
                    builder.call(_dots_function(builder.module, like, targets, width, 1), passed)
                with more:
                    builder.call(_dots_function(builder.module, like, targets, width, height), passed)

        _switch(builder, n, width, call)
        return context.get_dummy_value()

    return types.void(like, *[_ADDRESS] * 11), codegen


@instructions
def lone_dots_lanes(typingctx, like, row, others, others_step, chosen, n, vectors, scores):
    """:func:`minigrad.kernels.word2vec_rows.lone_dots` of at most one group of targets, on addresses."""

    def codegen(context, builder, signature, arguments):
        _, row, others, others_step, chosen, n, vectors, scores = arguments
        width = lone_group(like.bitwidth // 8)
        # A table of one row: wherever the list of its numbers lies, steps of 0 lead to the first.
        passed = [row, _INT(0), chosen, _INT(1), others, others_step, chosen, vectors, scores, _INT(0)]
        _switch(builder, n, width, lambda k: builder.call(_dots_function(builder.module, like, k, width, 1), passed))
        return context.get_dummy_value()

    return types.void(like, *[_ADDRESS] * 7), codegen


@instructions
def lone_update_lanes(typingctx, like, row, error, first, others, others_step, chosen, n, vectors, slopes):
    """:func:`minigrad.kernels.word2vec_rows.lone_update` for at most one group of targets, on addresses."""

    def codegen(context, builder, signature, arguments):
        n, passed = arguments[7], [*arguments[1:7], *arguments[8:]]
        width = lone_group(like.bitwidth // 8)
        _switch(builder, n, width, lambda k: builder.call(_lone_update_function(builder.module, like, k), passed))
        return context.get_dummy_value()

    return types.void(like, *[_ADDRESS] * 9), codegen


@instructions
def update_lanes(
    typingctx, like, old, old_step, old_at, base, step, at, m, others, others_step, chosen, n, vectors, slopes, slopes_step
):
    """:func:`minigrad.kernels.word2vec_rows.update` for at most one group of targets, on addresses."""

    def codegen(context, builder, signature, arguments):
        n, passed = arguments[11], [*arguments[1:11], *arguments[12:]]
        width = group(like.bitwidth // 8)
        _switch(builder, n, width, lambda k: builder.call(_update_function(builder.module, like, k), passed))
        return context.get_dummy_value()

    return types.void(like, *[_ADDRESS] * 14), codegen


@instructions
def sum_rows_lanes(typingctx, like, base, step, at, m, first, factor, total, vectors):
    """:func:`minigrad.kernels.word2vec_rows.sum_rows` of at most ``MOST`` rows; added to ``total`` unless first."""

    def codegen(context, builder, signature, arguments):
        _, base, step, at, m, first, factor, total, vectors = arguments
        factor = builder.ptrtoint(cgutils.alloca_once_value(builder, factor), _INT)
        passed = [base, step, at, first, factor, total, vectors]
        _switch(builder, m, MOST, lambda k: builder.call(_sum_rows_function(builder.module, like, k), passed))
        return context.get_dummy_value()

    return types.void(like, *[_ADDRESS] * 5, like, *[_ADDRESS] * 2), codegen


@instructions
def add_row_lanes(typingctx, like, base, step, at, m, row, vectors):
    """:func:`minigrad.kernels.word2vec_rows.add_row` to at most ``MOST`` rows on addresses."""

    def codegen(context, builder, signature, arguments):
        m, passed = arguments[4], [*arguments[1:4], *arguments[5:]]
        _switch(builder, m, MOST, lambda k: builder.call(_add_row_function(builder.module, like, k), passed))
        return context.get_dummy_value()

    return types.void(like, *[_ADDRESS] * 6), codegen


@instructions
def fetch_lanes(typingctx, base, step, at, m):
    """:func:`minigrad.kernels.word2vec_rows.fetch` on addresses."""

    def codegen(context, builder, signature, arguments):
        base, step, at, m = arguments
        rows = _Rows(builder, base, step, at)
        kind = ir.IntType(8).as_pointer()
        hint = ir.FunctionType(ir.VoidType(), [kind] + [ir.IntType(32)] * 3)
        prefetch = cgutils.get_or_insert_function(builder.module, hint, "llvm.prefetch.p0")
        how = [ir.Constant(ir.IntType(32), value) for value in (0, 3, 1)]  # to read, often, data
        lines = builder.udiv(step, _INT(LINE))

        def one_row(j, _):
            start = rows.start(j)

            def one_line(c, _):
                place = builder.add(start, builder.mul(c, _INT(LINE)))
                builder.call(prefetch, [builder.inttoptr(place, kind), *how])
                return []

            _loop(builder, lines, [], one_line)
            return []

        _loop(builder, m, [], one_row)
        return context.get_dummy_value()

    return types.void(*[_ADDRESS] * 4), codegen

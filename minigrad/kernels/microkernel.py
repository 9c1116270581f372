"""The innermost loops of the matrix product, written as LLVM vectors.

Numba compiles Python loops well, but it never keeps a whole tile of sums in registers. The three functions here do: each is
an ``@intrinsic``, which writes LLVM instructions directly, for the vector width of this CPU. They take plain addresses and
steps in bytes; their first argument is a number of the dtype at hand, whose value is not read.

- ``tile``: a few rows times a few vectors of C, held in registers while the loop runs down the common dimension.
- ``copy_lanes`` and ``transpose_lanes``: move operands into panels, the order in which ``tile`` reads them.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_INT = ir.IntType(64)
_INT32 = ir.IntType(32)
_ALIGN = _INT32(1)  # operands may start anywhere; where they do start on a boundary, the same instructions are as fast


@functools.cache
def vector_bytes() -> int:
    """Bytes of the widest vector of this CPU that can multiply and add in one instruction; 0 where none is known."""
    override = numba.config.CPU_FEATURES  # type: ignore[attr-defined]  # from NUMBA_CPU_FEATURES, else None
    if override is None:
        has = {name for name, present in llvm.get_host_cpu_features().items() if present}
    else:
        has = {name[1:] for name in override.split(",") if name.startswith("+")}
    if "avx512f" in has:
        return 64
    if {"avx2", "fma"} <= has:
        return 32
    return 16 if "neon" in has else 0


@functools.cache
def tile_shape(itemsize: int) -> tuple[int, int, int]:
    """Rows, columns and elements per vector of a register tile.

    With 32 registers, 12 rows of 2 vectors leave room for two vectors of B and the broadcast element of A; with the 16
    registers of AVX2, 6 rows do.
    """
    lanes = vector_bytes() // itemsize
    return (6 if vector_bytes() == 32 else 12), 2 * lanes, lanes


def first_cache_ways() -> int:
    """Places for lines of one set in the first-level cache for data; 8, as on most CPUs, where the system does not tell."""
    try:
        return int(Path("/sys/devices/system/cpu/cpu0/cache/index0/ways_of_associativity").read_text(encoding="ascii")) or 8
    except (OSError, ValueError):
        return 8


class Emitter:
    """Writes instructions on vectors of one dtype at the builder's position. Addresses are integers, in bytes."""

    def __init__(self, builder, dtype):
        self.builder = builder
        self.itemsize = dtype.bitwidth // 8
        self.bytes = vector_bytes()
        self.lanes = self.bytes // self.itemsize
        self.element = ir.FloatType() if self.itemsize == 4 else ir.DoubleType()
        self.vector = ir.VectorType(self.element, self.lanes)
        self.zero = ir.Constant(self.vector, [0.0] * self.lanes)

    def at(self, address, index: int, step: int | ir.Value = 1):
        """``address + index * step``."""
        if isinstance(step, int):
            return self.builder.add(address, _INT(index * step))
        return self.builder.add(address, self.builder.mul(step, _INT(index)))

    def load(self, address):
        return self._load(address, self.vector)

    def broadcast(self, address):
        return self.splat(self._load(address, self.element))

    def store(self, value, address):
        self.builder.store(value, self.builder.inttoptr(address, self.vector.as_pointer()), align=1)

    def mask(self, count):
        """The first ``count`` lanes; none when it is negative, all when it is larger than their number."""
        lane = ir.IntType(8 * self.itemsize)  # as wide as the element, which is what the older instruction sets want
        count = self.builder.trunc(count, lane) if lane.width < _INT.width else count
        order = ir.Constant(ir.VectorType(lane, self.lanes), list(range(self.lanes)))
        return self.builder.icmp_signed("<", order, self.splat(count))

    def load_masked(self, address, mask):
        """Loads the lanes of the mask and touches no other memory; the other lanes are zero."""
        pointer = self.builder.inttoptr(address, self.vector.as_pointer())
        return self._call("llvm.masked.load.{}.p0", self.vector, [pointer, _ALIGN, mask, self.zero])

    def store_masked(self, value, address, mask):
        pointer = self.builder.inttoptr(address, self.vector.as_pointer())
        self._call("llvm.masked.store.{}.p0", ir.VoidType(), [value, pointer, _ALIGN, mask])

    def multiply_add(self, x, y, z):
        return self._call("llvm.fma.{}", self.vector, [x, y, z])

    def shuffle(self, x, y, order):
        return self.builder.shuffle_vector(x, y, ir.Constant(ir.VectorType(_INT32, self.lanes), order))

    def _load(self, address, kind):
        return self.builder.load(self.builder.inttoptr(address, kind.as_pointer()), align=1)

    def splat(self, scalar):
        undefined = ir.Constant(ir.VectorType(scalar.type, self.lanes), ir.Undefined)
        return self.shuffle(self.builder.insert_element(undefined, scalar, _INT32(0)), undefined, [0] * self.lanes)

    def _call(self, name, result, arguments):
        name = name.format(f"v{self.lanes}f{8 * self.itemsize}")
        module = self.builder.module
        function = module.globals.get(name)
        if function is None:
            function = ir.Function(module, ir.FunctionType(result, [x.type for x in arguments]), name)
        return self.builder.call(function, arguments)


UNROLLED = 4  # steps of k in one turn of a tile's loop, where the steps from number to number are constants


def _tile_function(module, dtype, rows, vectors, steps=None):
    """The LLVM function of a tile of so many rows and vectors, written into the module when first asked for.

    ``steps`` are ``(a_row, a_k, b_k)`` where these are constants, but for an ``a_row`` of None: the loop then takes UNROLLED
    steps of ``k`` a turn, whose addresses cost no instruction.
    """
    name = f"minigrad_tile_{dtype}_{rows}x{vectors}" + (f"_{steps[0]}_{steps[1]}" if steps else "")
    if name in module.globals:
        return module.globals[name]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [_INT] * 11), name)
    function.linkage = "linkonce_odr"
    a, a_row, a_k, b, b_k, start, start_row, c, c_row, depth, cols = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    e = Emitter(builder, dtype)
    places = [(i, j) for i in range(rows) for j in range(vectors)]
    last = vectors - 1
    if steps:
        a_row, a_k, b_k = a_row if steps[0] is None else _INT(steps[0]), _INT(steps[1]), _INT(steps[2])

    def variable(value):
        place = cgutils.alloca_once(builder, value.type)  # in a register: LLVM makes one of each
        builder.store(value, place)
        return place

    # x86 adds a register, or twice a register, to an address for nothing: one running pointer serves three rows of A.
    left, b_now, a_now = variable(depth), variable(b), [variable(e.at(a, i, a_row)) for i in range(0, rows, 3)]
    a_offsets = (_INT(0), a_row, builder.shl(a_row, _INT(1)))
    c_places = [e.at(e.at(c, i, c_row), j, e.bytes) for i, j in places]
    mask = e.mask(e.at(cols, -last, e.lanes))  # of the last vector; those before it are whole
    sums = [variable(e.zero) for _ in places]
    with builder.if_then(builder.icmp_signed("!=", start, _INT(0))):
        for total, (i, j) in zip(sums, places):
            place = e.at(e.at(start, i, start_row), j, e.bytes)
            builder.store(e.load_masked(place, mask) if j == last else e.load(place), total)

    def multiply_add():
        b_vectors = [e.load(e.at(builder.load(b_now), j, e.bytes)) for j in range(vectors)]
        for i in range(rows):  # each element of A is loaded just before its use: the registers have no room for all
            x = e.broadcast(builder.add(builder.load(a_now[i // 3]), a_offsets[i % 3]))
            for y, total in zip(b_vectors, sums[i * vectors :]):
                builder.store(e.multiply_add(x, y, builder.load(total)), total)
        for running, step in [(b_now, b_k), *((x, a_k) for x in a_now)]:
            builder.store(builder.add(builder.load(running), step), running)

    for count in (UNROLLED, 1) if steps else (1,):
        loop, done = function.append_basic_block(f"loop{count}"), function.append_basic_block(f"done{count}")
        enough = builder.icmp_signed(">=", builder.load(left), _INT(count))
        builder.cbranch(enough, loop, done)
        builder.position_at_end(loop)
        for _ in range(count):
            multiply_add()
        rest = builder.sub(builder.load(left), _INT(count))
        builder.store(rest, left)
        builder.cbranch(builder.icmp_signed(">=", rest, _INT(count)), loop, done)
        builder.position_at_end(done)

    with builder.if_else(builder.icmp_signed("==", cols, _INT(vectors * e.lanes))) as (whole, edge):
        for block, masked in (whole, False), (edge, True):
            with block:
                for total, (_, j), place in zip(sums, places, c_places):
                    if masked and j == last:
                        e.store_masked(builder.load(total), place, mask)
                    else:
                        e.store(builder.load(total), place)
    builder.ret_void()
    return function


_ADDRESS = types.intp


def instructions(write: Callable) -> Callable[..., Any]:
    """``@intrinsic``, typed as what Numba makes of it: a function without the leading ``typingctx``."""
    return intrinsic(write)


@instructions
def tile(typingctx, like, a, a_row, a_k, b, b_k, start, start_row, c, c_row, depth, rows, cols):
    """``c = start + a @ b`` of shape (rows, cols), at most one register tile; ``depth`` is at least 1.

    ``a`` is read by two steps, so it need not be packed; the rows of ``b`` must be padded to whole vectors. ``start`` may be
    ``c``, to accumulate, or another matrix; with a row step of 0 it is one row for all, such as a bias. Address 0 means zeros.
    """
    signature = types.void(like, *[_ADDRESS] * 12)

    def codegen(context, builder, signature, arguments):
        rows, cols = arguments[-2:]
        most_rows, most_cols, lanes = tile_shape(like.bitwidth // 8)
        passed = [*arguments[1:-2], cols]  # the rows say which function
        wide = builder.icmp_signed(">", cols, _INT(lanes))
        case = builder.add(builder.shl(rows, _INT(1)), builder.zext(wide, _INT))
        end = builder.append_basic_block("tile.end")

        def full(steps):
            """Calls the whole tile for constant steps, if these they are."""
            known = [(x, y) for x, y in zip((passed[1], passed[2], passed[4]), steps) if y is not None]
            test = builder.icmp_signed("==", case, _INT(2 * most_rows + 1))
            for x, y in known:
                test = builder.and_(test, builder.icmp_signed("==", x, _INT(y)))
            with builder.if_then(test):
                builder.call(_tile_function(builder.module, like, most_rows, 2, steps), passed)
                builder.branch(end)

        item = like.bitwidth // 8
        if vector_bytes() == 32:  # there 12 multiply-adds a step hide the addresses only where nobody else uses the core
            full((None, item, most_cols * item))
            full((item, most_rows * item, most_cols * item))
        switch = builder.switch(case, end)
        for height in range(1, most_rows + 1):
            for vectors in range(1, most_cols // lanes + 1):
                block = builder.append_basic_block("tile.case")
                switch.add_case(_INT(2 * height + vectors - 1), block)
                with builder.goto_block(block):
                    builder.call(_tile_function(builder.module, like, height, vectors), passed)
                    builder.branch(end)
        builder.position_at_end(end)
        return context.get_dummy_value()

    return signature, codegen


@instructions
def copy_lanes(typingctx, like, source, count, target):
    """Copies ``count`` elements, at most one vector; the other lanes of the target become zero."""
    signature = types.void(like, *[_ADDRESS] * 3)

    def codegen(context, builder, signature, arguments):
        _, source, count, target = arguments
        e = Emitter(builder, like)
        e.store(e.load_masked(source, e.mask(count)), target)
        return context.get_dummy_value()

    return signature, codegen


@instructions
def transpose_lanes(typingctx, like, source, source_row, rows, cols, target, target_row):
    """Writes the transpose of up to lanes x lanes elements as full vectors, zero beyond ``rows`` and ``cols``.

    One pass of a perfect shuffle interleaves the first half of the vectors with the second; log2(lanes) passes transpose.
    """
    signature = types.void(like, *[_ADDRESS] * 6)

    def codegen(context, builder, signature, arguments):
        _, source, source_row, rows, cols, target, target_row = arguments
        e = Emitter(builder, like)
        n = e.lanes
        vectors = []
        for i in range(n):
            count = builder.select(builder.icmp_signed("<", _INT(i), rows), cols, _INT(0))
            vectors.append(e.load_masked(e.at(source, i, source_row), e.mask(count)))
        low = [x for i in range(n // 2) for x in (i, n + i)]
        high = [x + n // 2 for x in low]
        for _ in range(n.bit_length() - 1):
            pairs = zip(vectors[: n // 2], vectors[n // 2 :])
            vectors = [e.shuffle(x, y, order) for x, y in pairs for order in (low, high)]
        for i, value in enumerate(vectors):
            e.store(value, e.at(target, i, target_row))
        return context.get_dummy_value()

    return signature, codegen


@instructions
def sizes(typingctx, like):
    """``(itemsize, *tile_shape(itemsize))``, as constants of the compiler."""
    itemsize = like.bitwidth // 8
    values = (itemsize, *tile_shape(itemsize))

    def codegen(context, builder, signature, arguments):
        return context.make_tuple(builder, signature.return_type, [_INT(value) for value in values])

    return types.UniTuple(types.intp, 4)(like), codegen


@instructions
def address(typingctx, array):
    """The address of an array's first element."""

    def codegen(context, builder, signature, arguments):
        data = context.make_array(array)(context, builder, arguments[0]).data
        return builder.ptrtoint(data, _INT)

    return _ADDRESS(array), codegen


@instructions
def pointer(typingctx, address):
    """An address as the pointer that ``numba.carray`` makes an array of."""

    def codegen(context, builder, signature, arguments):
        return builder.inttoptr(arguments[0], context.get_value_type(types.voidptr))

    return types.voidptr(_ADDRESS), codegen


@instructions
def call(typingctx, function, part, parts, job):
    """Calls the compiled function at an address with three integers.

    What is called by address is not compiled again into its caller, as Numba does with what is called by name.
    """

    def codegen(context, builder, signature, arguments):
        kind = ir.FunctionType(ir.VoidType(), [_INT] * 3)
        builder.call(builder.inttoptr(arguments[0], kind.as_pointer()), arguments[1:])
        return context.get_dummy_value()

    return types.void(*[_ADDRESS] * 4), codegen


@instructions
def prefetch(typingctx, address):
    """Asks for the cache line of an address, for what will be read or written there soon."""

    def codegen(context, builder, signature, arguments):
        kind = ir.IntType(8).as_pointer()
        hint = ir.FunctionType(ir.VoidType(), [kind] + [_INT32] * 3)
        function = cgutils.get_or_insert_function(builder.module, hint, "llvm.prefetch.p0")
        how = [_INT32(value) for value in (0, 3, 1)]  # to read, often, data
        builder.call(function, [builder.inttoptr(arguments[0], kind), *how])
        return context.get_dummy_value()

    return types.void(_ADDRESS), codegen


@instructions
def fetch_add(typingctx, address, step):
    """Adds to the 64-bit integer at an address, and returns what it was, as if no other thread did so at the same time."""

    def codegen(context, builder, signature, arguments):
        place = builder.inttoptr(arguments[0], _INT.as_pointer())
        return builder.atomic_rmw("add", place, arguments[1], "monotonic")

    return _ADDRESS(address, step), codegen

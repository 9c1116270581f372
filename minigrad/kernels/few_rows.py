"""Matrix products of a handful of rows: as fast as memory delivers the other matrix, of which each number is read once.

With so few rows a panel of the other matrix would be packed only to be used once. Decoding is made of such products: one query,
and all the keys of a cache. The operands are tuples (address, step to the next row, ..) in bytes; elements of a row of either
matrix are neighbours in memory. As in `microkernel.py`, the innermost loops are LLVM vectors.
"""

from llvmlite import ir
from numba import types

from minigrad.kernels.jit import core
from minigrad.kernels.microkernel import Emitter, instructions, sizes

_INT = ir.IntType(64)
_CHAINS = 8  # sums under way at once: two multiply-adds start in each cycle, and one takes four


@core
def with_rows(like, a, b, c, rows, depth, cols):
    """``c = a @ b^T`` for ``a`` of (rows, depth) and ``b`` of (cols, depth): dot products."""
    item, _, _, lanes = sizes(like)
    for i in range(rows):
        for j in range(0, cols, lanes):
            _dots(like, a[0] + i * a[1], depth, b[0] + j * b[1], b[1], min(lanes, cols - j), c[0] + i * c[1] + j * item)


@core
def with_columns(like, a, b, c, rows, depth, cols, accumulate):
    """``c = a @ b``, or ``c += a @ b``, for ``a`` of (rows, depth) and ``b`` of (depth, cols): weighted sums of rows."""
    item, _, _, lanes = sizes(like)
    for i in range(rows):
        j = 0
        while j < cols:
            x, y, out = a[0] + i * a[1], b[0] + j * item, c[0] + i * c[1] + j * item
            if cols - j > 2 * lanes:
                _sum(like, 4, x, depth, y, b[1], cols - j, accumulate, out)
                j += 4 * lanes
            elif cols - j > lanes:
                _sum(like, 2, x, depth, y, b[1], cols - j, accumulate, out)
                j += 2 * lanes
            else:
                _sum(like, 1, x, depth, y, b[1], cols - j, accumulate, out)
                j += lanes


def _repeat(builder, count, carried, body):
    """``for i in range(count): carried = body(i, carried)`` in LLVM; returns what is carried at the end."""
    before = builder.block
    head, inside, after = (builder.append_basic_block(f"repeat.{name}") for name in ("head", "inside", "after"))
    builder.branch(head)
    builder.position_at_end(head)
    values = [_INT(0), *carried]
    phis = [builder.phi(value.type) for value in values]
    builder.cbranch(builder.icmp_signed("<", phis[0], count), inside, after)
    builder.position_at_end(inside)
    results = [builder.add(phis[0], _INT(1)), *body(phis[0], phis[1:])]
    for phi, value, result in zip(phis, values, results):
        phi.add_incoming(value, before)
        phi.add_incoming(result, builder.block)
    builder.branch(head)
    builder.position_at_end(after)
    return phis[1:]


@instructions
def _dots(typingctx, like, x, depth, rows, row_step, count, target):
    """Writes the dot products of ``x`` and ``count`` rows, at most as many as a vector has lanes."""
    signature = types.void(like, *[types.intp] * 6)

    def codegen(context, builder, signature, arguments):
        x, depth, rows, row_step, count, target = arguments[1:]
        e = Emitter(builder, like)
        last = builder.sub(count, _INT(1))
        indices = [builder.select(builder.icmp_signed("<", _INT(i), count), _INT(i), last) for i in range(e.lanes)]
        starts = [builder.add(rows, builder.mul(row_step, i)) for i in indices]  # those beyond the count repeat the last
        whole = builder.sdiv(depth, _INT(e.lanes))

        def add_products(i, sums):
            at = builder.mul(i, _INT(e.bytes))
            part = e.load(builder.add(x, at))
            return [e.multiply_add(part, e.load(builder.add(start, at)), total) for start, total in zip(starts, sums)]

        sums = _repeat(builder, whole, [e.zero] * e.lanes, add_products)
        mask = e.mask(builder.sub(depth, builder.mul(whole, _INT(e.lanes))))
        at = builder.mul(whole, _INT(e.bytes))
        part = e.load_masked(builder.add(x, at), mask)
        rest = [e.load_masked(builder.add(start, at), mask) for start in starts]
        sums = [e.multiply_add(part, y, total) for y, total in zip(rest, sums)]
        # Interleave the halves of two vectors and add: one vector with half as many partial sums of twice as many rows.
        low = [x for i in range(e.lanes // 2) for x in (i, e.lanes + i)]
        high = [x + e.lanes // 2 for x in low]
        while len(sums) > 1:
            pairs = zip(sums[: len(sums) // 2], sums[len(sums) // 2 :])
            sums = [builder.fadd(e.shuffle(x, y, low), e.shuffle(x, y, high)) for x, y in pairs]
        e.store_masked(sums[0], target, e.mask(count))
        return context.get_dummy_value()

    return signature, codegen


@instructions
def _sum(typingctx, like, vectors, weights, count, rows, row_step, cols, accumulate, target):
    """Writes, or adds, the sum of ``count`` rows times their weights, ``cols`` elements and at most so many vectors."""
    if not isinstance(vectors, types.IntegerLiteral):
        return None
    signature = types.void(like, vectors, *[types.intp] * 5, types.boolean, types.intp)
    wide = vectors.literal_value

    def codegen(context, builder, signature, arguments):
        weights, count, rows, row_step, cols, accumulate, target = arguments[2:]
        e = Emitter(builder, like)
        masks = [e.mask(builder.sub(cols, _INT(j * e.lanes))) for j in range(wide)]
        targets = [e.at(target, j, e.bytes) for j in range(wide)]
        adds = builder.select(accumulate, cols, _INT(0))
        old = [e.load_masked(targets[j], e.mask(builder.sub(adds, _INT(j * e.lanes)))) for j in range(wide)]
        at_once = _CHAINS // wide

        def add_rows(first, number, sums):
            """Adds ``number`` rows from ``first`` on, each to sums of its own."""
            results = []
            for n in range(number):
                row = builder.add(first, _INT(n))
                weight = e.broadcast(builder.add(weights, builder.mul(row, _INT(e.itemsize))))
                start = builder.add(rows, builder.mul(row, row_step))
                loaded = [e.load_masked(e.at(start, j, e.bytes), masks[j]) for j in range(wide)]
                results += [e.multiply_add(weight, y, total) for y, total in zip(loaded, sums[n * wide :])]
            return results

        groups = builder.sdiv(count, _INT(at_once))
        grouped = builder.mul(groups, _INT(at_once))
        begin = old + [e.zero] * (_CHAINS - wide)
        sums = _repeat(builder, groups, begin, lambda i, s: add_rows(builder.mul(i, _INT(at_once)), at_once, s))
        while len(sums) > wide:
            half = len(sums) // 2
            sums = [builder.fadd(x, y) for x, y in zip(sums[:half], sums[half:])]
        rest = builder.sub(count, grouped)
        sums = _repeat(builder, rest, sums, lambda i, s: add_rows(builder.add(grouped, i), 1, s))
        for value, place, mask in zip(sums, targets, masks):
            e.store_masked(value, place, mask)
        return context.get_dummy_value()

    return signature, codegen

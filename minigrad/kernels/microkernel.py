"""The innermost loops of the matrix product, written as LLVM vectors.

Numba compiles Python loops well, but it never keeps a whole tile of sums in registers. The three functions here do: each is
an ``@intrinsic``, which writes LLVM instructions directly, for the vector width of this CPU. They take plain addresses and
steps in bytes; their first argument is a number of the dtype at hand, whose value is not read.

- ``tile``: a few rows times a few vectors of C, held in registers while the loop runs down the common dimension.
- ``copy_lanes`` and ``transpose_lanes``: move operands into panels, the order in which ``tile`` reads them.
"""

import functools

import llvmlite.binding as llvm
import numba
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

_INT = ir.IntType(64)


@functools.cache
def vector_bytes() -> int:
    """Bytes of the widest vector that multiplies and adds in one instruction on this CPU; 0 when it has none we know."""
    named = numba.config.CPU_FEATURES  # type: ignore[attr-defined]  # set when NUMBA_CPU_FEATURES overrides the host's
    if named is None:
        has = {name for name, present in llvm.get_host_cpu_features().items() if present}
    else:
        has = {name[1:] for name in named.split(",") if name.startswith("+")}
    if "avx512f" in has:
        return 64
    if {"avx2", "fma"} <= has:
        return 32
    if "neon" in has:
        return 16
    return 0


@functools.cache
def tile_shape(itemsize: int) -> tuple[int, int, int]:
    """Rows, columns and elements per vector of a register tile.

    With 32 registers, 12 rows of 2 vectors leave room for two vectors of B and the broadcast element of A; with the 16
    registers of AVX2, 6 rows do.
    """
    lanes = vector_bytes() // itemsize
    return (6 if vector_bytes() == 32 else 12), 2 * lanes, lanes


def _vector(dtype) -> tuple[ir.VectorType, int]:
    itemsize = dtype.bitwidth // 8
    element = ir.FloatType() if itemsize == 4 else ir.DoubleType()
    lanes = vector_bytes() // itemsize
    return ir.VectorType(element, lanes), lanes


class _Emitter:
    """Writes instructions on vectors of one dtype at the builder's position."""

    def __init__(self, builder, dtype):
        self.builder = builder
        self.vector, self.lanes = _vector(dtype)
        self.element = self.vector.element
        self.itemsize = dtype.bitwidth // 8
        self.bytes = self.itemsize * self.lanes
        self.zero = ir.Constant(self.vector, [0.0] * self.lanes)
        self.undefined = ir.Constant(self.vector, ir.Undefined)

    def at(self, address, offset):
        """``address + offset`` in bytes; the offset is a Python int or a value."""
        if isinstance(offset, int):
            offset = _INT(offset)
        return self.builder.add(address, offset)

    def _pointer(self, address, kind):
        return self.builder.inttoptr(address, kind.as_pointer())

    def load(self, address):
        return self.builder.load(self._pointer(address, self.vector), align=self.itemsize)

    def store(self, value, address):
        self.builder.store(value, self._pointer(address, self.vector), align=self.itemsize)

    def broadcast(self, address):
        scalar = self.builder.load(self._pointer(address, self.element), align=self.itemsize)
        return self._splat(scalar)

    def _splat(self, scalar):
        kind = ir.VectorType(scalar.type, self.lanes)
        first = self.builder.insert_element(ir.Constant(kind, ir.Undefined), scalar, ir.IntType(32)(0))
        return self.builder.shuffle_vector(first, ir.Constant(kind, ir.Undefined), self._indices([0] * self.lanes))

    def _indices(self, order):
        return ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), order)

    def shuffle(self, x, y, order):
        return self.builder.shuffle_vector(x, y, self._indices(order))

    def fma(self, x, y, z):
        return self._call("llvm.fma.{v}", self.vector, [x, y, z])

    def mask(self, count):
        """The first ``count`` lanes; all of them, or none, when the count lies outside 0..lanes."""
        lane = ir.IntType(8 * self.itemsize)
        many = count if lane is _INT or lane == _INT else self.builder.trunc(count, lane)
        iota = ir.Constant(ir.VectorType(lane, self.lanes), list(range(self.lanes)))
        return self.builder.icmp_signed("<", iota, self._splat(many))

    def load_masked(self, address, mask):
        """Loads the masked lanes and touches no other memory; the rest are zero."""
        pointer = self._pointer(address, self.vector)
        return self._call("llvm.masked.load.{v}.p0", self.vector, [pointer, ir.IntType(32)(self.itemsize), mask, self.zero])

    def store_masked(self, value, address, mask):
        pointer = self._pointer(address, self.vector)
        self._call("llvm.masked.store.{v}.p0", ir.VoidType(), [value, pointer, ir.IntType(32)(self.itemsize), mask])

    def _call(self, name, result, arguments):
        name = name.format(v=f"v{self.lanes}f{8 * self.itemsize}")
        kind = ir.FunctionType(result, [x.type for x in arguments])
        module = self.builder.module
        function = module.globals.get(name) or ir.Function(module, kind, name)
        return self.builder.call(function, arguments)


def _tile_function(module, dtype, rows, vectors):
    """The LLVM function of a tile of this many rows and vectors, written into the module once."""
    name = f"minigrad_tile_{dtype}_{rows}x{vectors}"
    if name in module.globals:
        return module.globals[name]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [_INT] * 9 + [ir.IntType(1)]), name)
    function.linkage = "linkonce_odr"
    a, a_row, a_k, b, b_k, c, c_row, depth, cols, add = function.args
    entry, old, loop, done, whole, edge = (function.append_basic_block(s) for s in ("entry", "old", "loop", "done", "whole", "edge"))
    builder = ir.IRBuilder(entry)
    e = _Emitter(builder, dtype)
    places = [(i, j) for i in range(rows) for j in range(vectors)]
    last = vectors - 1

    # x86 adds a register, or twice a register, to an address for nothing: one running pointer serves three rows of A.
    a_row2 = builder.shl(a_row, _INT(1))
    a_groups = [e.at(a, builder.mul(a_row, _INT(i))) for i in range(0, rows, 3)]
    c_at = {(i, j): e.at(e.at(c, builder.mul(c_row, _INT(i))), j * e.bytes) for i, j in places}
    mask = e.mask(builder.sub(cols, _INT(last * e.lanes)))
    builder.cbranch(add, old, loop)

    builder.position_at_end(old)
    before = [e.load_masked(c_at[i, j], mask) if j == last else e.load(c_at[i, j]) for i, j in places]
    builder.branch(loop)

    builder.position_at_end(loop)

    def carried(kind, start, restart=None):
        phi = builder.phi(kind)
        phi.add_incoming(start, entry)
        phi.add_incoming(start if restart is None else restart, old)
        return phi

    left = carried(_INT, depth)
    a_now = [carried(_INT, start) for start in a_groups]
    b_now = carried(_INT, b)
    sums = [carried(e.vector, e.zero, value) for value in before]
    b_vectors = [e.load(e.at(b_now, j * e.bytes)) for j in range(vectors)]
    sums_next = []
    for i in range(rows):
        element = e.broadcast(e.at(a_now[i // 3], (0, a_row, a_row2)[i % 3]))
        sums_next += [e.fma(element, b_vectors[j], sums[i * vectors + j]) for j in range(vectors)]
    left_next = builder.sub(left, _INT(1))
    left.add_incoming(left_next, loop)
    for phi in a_now:
        phi.add_incoming(e.at(phi, a_k), loop)
    b_now.add_incoming(e.at(b_now, b_k), loop)
    for phi, value in zip(sums, sums_next):
        phi.add_incoming(value, loop)
    builder.cbranch(builder.icmp_signed(">", left_next, _INT(0)), loop, done)

    builder.position_at_end(done)
    builder.cbranch(builder.icmp_signed("==", cols, _INT(vectors * e.lanes)), whole, edge)
    for block in (whole, edge):
        builder.position_at_end(block)
        for (i, j), value in zip(places, sums_next):
            if block is edge and j == last:
                e.store_masked(value, c_at[i, j], mask)
            else:
                e.store(value, c_at[i, j])
        builder.ret_void()
    return function


_ADDRESS = types.intp


@intrinsic
def tile(typingctx, like, a, a_row, a_k, b, b_k, c, c_row, depth, rows, cols, add):  # type: ignore[no-untyped-def]
    """``c[:rows, :cols] (+)= a[:rows, :depth] @ b[:depth, :cols]``, for at most one register tile; ``depth`` is at least 1.

    ``a`` is read by two steps, so it need not be packed; the rows of ``b`` must be padded to whole vectors.
    """
    signature = types.void(like, *[_ADDRESS] * 10, types.boolean)

    def codegen(context, builder, signature, arguments):
        a, a_row, a_k, b, b_k, c, c_row, depth, rows, cols, add = arguments[1:]
        most_rows, most_cols, lanes = tile_shape(like.bitwidth // 8)
        passed = [a, a_row, a_k, b, b_k, c, c_row, depth, cols, add]
        wide = builder.icmp_signed(">", cols, _INT(lanes))
        case = builder.add(builder.shl(rows, _INT(1)), builder.zext(wide, _INT))
        end = builder.append_basic_block("tile.end")
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


@intrinsic
def copy_lanes(typingctx, like, source, count, target):  # type: ignore[no-untyped-def]
    """Copies ``count`` elements, at most one vector; the other lanes of the target become zero."""
    signature = types.void(like, *[_ADDRESS] * 3)

    def codegen(context, builder, signature, arguments):
        _, source, count, target = arguments
        e = _Emitter(builder, like)
        e.store(e.load_masked(source, e.mask(count)), target)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def transpose_lanes(typingctx, like, source, source_row, rows, cols, target, target_row):  # type: ignore[no-untyped-def]
    """Writes the transpose of up to lanes x lanes elements as full vectors, zero beyond ``rows`` and ``cols``.

    One pass of a perfect shuffle interleaves the first half of the vectors with the second; log2(lanes) passes transpose.
    """
    signature = types.void(like, *[_ADDRESS] * 6)

    def codegen(context, builder, signature, arguments):
        _, source, source_row, rows, cols, target, target_row = arguments
        e = _Emitter(builder, like)
        n = e.lanes
        vectors = []
        for i in range(n):
            count = builder.select(builder.icmp_signed("<", _INT(i), rows), cols, _INT(0))
            vectors.append(e.load_masked(e.at(source, builder.mul(source_row, _INT(i))), e.mask(count)))
        low = [x for i in range(n // 2) for x in (i, n + i)]
        high = [x + n // 2 for x in low]
        for _ in range(n.bit_length() - 1):
            pairs = zip(vectors[: n // 2], vectors[n // 2 :])
            vectors = [e.shuffle(x, y, order) for x, y in pairs for order in (low, high)]
        for i, value in enumerate(vectors):
            e.store(value, e.at(target, builder.mul(target_row, _INT(i))))
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def sizes(typingctx, like):
    """``(itemsize, *tile_shape(itemsize))``, as constants of the compiler."""
    itemsize = like.bitwidth // 8
    values = (itemsize, *tile_shape(itemsize))

    def codegen(context, builder, signature, arguments):
        return context.make_tuple(builder, signature.return_type, [_INT(value) for value in values])

    return types.UniTuple(types.intp, 4)(like), codegen


@intrinsic
def address(typingctx, array):
    """The address of an array's first element."""

    def codegen(context, builder, signature, arguments):
        data = context.make_array(array)(context, builder, arguments[0]).data
        return builder.ptrtoint(data, _INT)

    return _ADDRESS(array), codegen


@intrinsic
def call(typingctx, function, part, parts, job):  # type: ignore[no-untyped-def]
    """Calls the compiled function at an address with three integers.

    What is called by address is not compiled again into its caller, as Numba does with what is called by name.
    """

    def codegen(context, builder, signature, arguments):
        kind = ir.FunctionType(ir.VoidType(), [_INT] * 3)
        builder.call(builder.inttoptr(arguments[0], kind.as_pointer()), arguments[1:])
        return context.get_dummy_value()

    return types.void(*[_ADDRESS] * 4), codegen

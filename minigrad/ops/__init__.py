"""The operations, one file per family. Everything public here is also in :mod:`minigrad`."""

import sys as _sys

from ..methods import attach as _attach
from ..tensor import Tensor as _Tensor
from ..tensor import raw
from .activation import log_softmax, relu, softmax
from .arithmetic import (
    add,
    div,
    floor_divide,
    minus,
    plus,
    pow,
    sub,
    to,
    where,
)
from .arithmetic import mul as times
from .arithmetic import neg as negated
from .arrangement import diagonal, flip, repeat, roll, tile, tril, triu
from .assignment import setitem, update_in_place
from .comparison import (
    allclose,
    bitwise_and,
    bitwise_or,
    bitwise_xor,
    eq,
    equal,
    ge,
    gt,
    invert,
    isclose,
    le,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    lt,
    ne,
)
from .creation import (
    arange,
    as_tensor,
    empty,
    empty_like,
    eye,
    from_numpy,
    full,
    full_like,
    linspace,
    ones,
    ones_like,
    zeros,
    zeros_like,
)
from .elementwise import (
    abs,
    clamp,
    isfinite,
    isinf,
    isnan,
    masked_fill,
    round,
)
from .indexing import (
    gather,
    getitem,
    index_select,
    masked_select,
    repeat_interleave,
    scatter_add,
    select,
    take_along_dim,
)
from .joining import cat, chunk, concat, concatenate, narrow, split, stack, unbind
from .linalg import addmm, bmm, cdist, dot, einsum, matmul, mm, mv, outer, trace
from .named import (
    atan2,
    cos,
    erf,
    exp,
    expm1,
    floor,
    log,
    log1p,
    log2,
    maximum,
    minimum,
    mul,
    neg,
    reciprocal,
    remainder,
    rsqrt,
    sigmoid,
    sign,
    sin,
    sqrt,
    square,
    tan,
    tanh,
)
from .norms import norm
from .ordering import argsort, nonzero, sort, topk, unique
from .random import (
    bernoulli,
    get_rng_state,
    manual_seed,
    multinomial,
    rand,
    rand_like,
    randint,
    randint_like,
    randn,
    randn_like,
    randperm,
    set_rng_state,
)
from .reduction import (
    all,
    amax,
    amin,
    any,
    argmax,
    argmin,
    cumsum,
    logsumexp,
    max,
    mean,
    min,
    prod,
    std,
    sum,
    var,
)
from .shaping import (
    broadcast_to,
    clone,
    contiguous,
    expand,
    expand_as,
    flatten,
    matrix_transpose,
    moveaxis,
    movedim,
    permute,
    ravel,
    reshape,
    reshape_as,
    reversed_dims,
    squeeze,
    swapaxes,
    t,
    transpose,
    unflatten,
    unsqueeze,
    view,
    view_as,
)

clip = clamp

_attach(_Tensor, _sys.modules[__name__])  # from here on x + y and x.sum() work

"""Products of vectors and matrices, against PyTorch, NumPy and finite differences."""

import string

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad.errors import DTypeError, ShapeError, UsageError
from tests.ops.against_torch import assert_both_raise, assert_same, table

rng = np.random.default_rng(2)


def _floats(*shape):
    return rng.standard_normal(shape).astype(np.float32)


ARRAYS = {
    "a": _floats(4, 5),
    "b": _floats(5, 6),
    "ba": _floats(2, 4, 5),
    "bb": _floats(2, 5, 6),
    "u": _floats(5),
    "v": _floats(5),
    "s": np.array(2, np.float32),
    "q": _floats(3, 3),
    "qq": _floats(3, 3, 3),
    "z": _floats(0, 5),
    "w4": _floats(2, 1, 4, 5),
    "b3": _floats(3, 5, 6),
    "i": np.arange(6).reshape(2, 3),
}

SAME = """
a @ b
lib.matmul(a, b)
lib.matmul(input=a, other=b)
a.matmul(b)
a @ a.T
ba @ bb
ba @ b
a @ bb
w4 @ b3
a @ u
u @ b
u @ v
ba @ u
u @ bb
z @ b
b.T @ z.T
z.T @ z
i @ i.T
a.T.T @ b
a[:, ::2] @ b[::2]
a.flip(0) @ b.flip(1)
lib.mm(a, b)
a.mm(mat2=b)
lib.bmm(ba, bb)
ba.bmm(mat2=bb)
a.mv(vec=u)
lib.dot(u, tensor=v)
u.outer(vec2=v)
lib.outer(u, a[:, 0])
lib.outer(u, v.double())
lib.outer(u, i[0])
lib.addmm(q, q, q)
lib.addmm(q[0], q, q, beta=2, alpha=0.5)
lib.addmm(input=q[:, :1], mat1=q, mat2=q)
lib.addmm(s, q, q)
q.addmm(q, q, beta=0)
lib.addmm((q * nan).detach(), q, q, beta=0)
q.trace()
a.trace()
i.trace()
lib.cdist(q, q[:2])
lib.cdist(ba, ba * 2)
lib.cdist(q, a[:, :3], p=1)
lib.cdist(q, a[:, :3], p=inf)
lib.cdist(q, a[:, :3], p=3.0)
lib.cdist(x1=q, x2=a[:, :3])
lib.cdist(ba, a)
lib.cdist(w4, ba)
lib.cdist(q, z[:, :3])
"""

EINSUM = """
lib.einsum('ij,jk->ik', a, b)
lib.einsum('ij,jk', a, b)
lib.einsum('ij->ji', a)
lib.einsum('ij', a)
lib.einsum('ba', a)
lib.einsum('ij->', a)
lib.einsum('ij->i', a)
lib.einsum('ii->', q)
lib.einsum('ii->i', q)
lib.einsum('ii', q)
lib.einsum('iii->i', qq)
lib.einsum('iij->ij', qq)
lib.einsum('iji->ji', qq)
lib.einsum('ii,i->i', q, q[0])
lib.einsum('ii,ij->j', q, q)
lib.einsum('i,j->ij', u, v)
lib.einsum('i,i->', u, v)
lib.einsum('i,i', u, v)
lib.einsum('bij,bjk->bik', ba, bb)
lib.einsum('bij,bjk', ba, bb)
lib.einsum('bij,jk->bik', ba, b)
lib.einsum('...ij,...jk->...ik', ba, bb)
lib.einsum('...ij,jk->...ik', ba, b)
lib.einsum('...ij,...jk->...ik', w4, b3)
lib.einsum('...ij,...jk', w4, b3)
lib.einsum('...,...->...', ba, ba)
lib.einsum('...i,...i->...', ba, ba)
lib.einsum('i...->...i', ba)
lib.einsum('...->', ba)
lib.einsum('...', ba)
lib.einsum('i...->i', ba)
lib.einsum('i...j->j...i', ba)
lib.einsum('...ii->...i', qq)
lib.einsum('...ii->...', qq)
lib.einsum('...ij->ij', ba)
lib.einsum('ij->...ij', a)
lib.einsum('ij,jk,kl->il', a, b, b.T)
lib.einsum('ij,kj,lj->ikl', q, q, q)
lib.einsum('ij,jk,ki->', q, q, q)
lib.einsum('i,i,i->i', u, v, u)
lib.einsum('ij,ij,ij->ij', q, q, q)
lib.einsum('i,ij,j->', q[0], q, q[1])
lib.einsum('i,j,k->ijk', q[0], q[1], q[2])
lib.einsum('abc,cd,bd->a', ba, b, a[:, :1].expand(4, 6))
lib.einsum('bhqd,bhkd->bhqk', w4, w4)
lib.einsum('ij,ij->ij', a, a)
lib.einsum('ij,ij->', a, a)
lib.einsum('ij,kl->ijkl', q, q)
lib.einsum(' i j , j k -> i k ', a, b)
lib.einsum('ij,jk->ik', [a, b])
lib.einsum('Ab,bC->AC', a, b)
lib.einsum('Ab,bC', a, b)
lib.einsum('ij,j->i', a[:, :1], u)
lib.einsum('ij,ij->ij', a[:1], a)
lib.einsum('ij,kj->ik', z[:, :1], a)
lib.einsum(',->', s, s)
lib.einsum(',ij->ij', s, q)
lib.einsum('->', s)
lib.einsum('ij,jk->ik', i, i.T)
lib.einsum('zi,ij->zj', z, b)
lib.einsum('iz,zj->ij', z.T, z)
lib.einsum('zi->i', z)
lib.einsum('i,i->i', u, v.double())
"""

BOTH_RAISE = """
lib.einsum(3, lib.ones(2))
lib.einsum("ij->ij", "a")
lib.outer([1.0], lib.ones(2))
lib.trace(None)
a @ a
a @ s
s @ s
a @ 2
a @ b.double()
a @ i
ba @ b3
lib.mm(a, u)
lib.mm(ba, bb)
a.mm(a)
lib.bmm(ba, b3)
lib.bmm(a, b)
lib.mv(a, b)
u.dot(a)
u.dot(a[0, :3])
u.dot(v.double())
lib.outer(a, u)
lib.addmm(a, q, q)
lib.addmm(q.double(), q, q)
u.trace()
lib.cdist(q, a)
lib.cdist(u, u)
lib.cdist(q, q.double())
lib.cdist(q, q, p=-1.0)
lib.einsum('ij,jk->ik', a)
lib.einsum('ij->ij', a, b)
lib.einsum('ijk->i', a)
lib.einsum('ij->k', a)
lib.einsum('ij->ii', a)
lib.einsum('ij,jk->ik', a, a)
lib.einsum('ij,jk->ik', a, b.double())
lib.einsum('i1->i', a)
lib.einsum('ij-ji', a)
lib.einsum('ij->j->i', a)
lib.einsum('.ij->ij', ba)
lib.einsum('......->', ba)
lib.einsum('i...j...->', ba)
lib.einsum('ii->i', a)
"""


@pytest.mark.parametrize("expression", table(SAME + EINSUM))
def test_same_as_torch(expression):
    assert_same(expression, ARRAYS)


@pytest.mark.parametrize("expression", table(BOTH_RAISE))
def test_raises_where_torch_does(expression):
    assert_both_raise(expression, ARRAYS)


def _inputs(*shapes):
    local = np.random.default_rng(3)
    return [mg.tensor(local.standard_normal(shape), requires_grad=True) for shape in shapes]


@pytest.mark.parametrize(
    "shapes",
    [
        [(2, 3), (3, 2)],
        [(3,), (3,)],
        [(2, 3), (3,)],
        [(3,), (3, 2)],
        [(2, 2, 3), (3, 2)],
        [(2, 3), (2, 3, 2)],
        [(2, 1, 2, 3), (2, 3, 1)],
        [(2, 2, 3), (3,)],
        [(3,), (2, 3, 2)],
        [(0, 3), (3, 2)],
        [(2, 0), (0, 2)],
    ],
)
def test_derivatives_of_matmul(shapes):
    assert mg.gradcheck(mg.matmul, _inputs(*shapes))
    assert mg.gradgradcheck(mg.matmul, _inputs(*shapes))


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [
        ("ij,jk->ik", [(2, 3), (3, 2)]),
        ("ii->i", [(3, 3)]),
        ("iij,j->i", [(2, 2, 3), (3,)]),
        ("...ij,...kj->...ik", [(2, 1, 2, 2), (2, 1, 2)]),
        ("ij,jk,ki->", [(2, 2)] * 3),
        ("i,ij,j->ij", [(2,), (2, 3), (3,)]),
        ("ij,ij->ij", [(1, 3), (2, 3)]),
        ("bij->b", [(2, 2, 2)]),
    ],
)
def test_derivatives_of_einsum(equation, shapes):
    assert mg.gradcheck(lambda *x: mg.einsum(equation, *x), _inputs(*shapes))
    assert mg.gradgradcheck(lambda *x: mg.einsum(equation, *x), _inputs(*shapes))


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0, float("inf")])
def test_derivatives_of_cdist(p):
    assert mg.gradcheck(lambda a, b: mg.cdist(a, b, p), _inputs((2, 3), (2, 3)))


def test_derivatives_of_addmm():
    assert mg.gradcheck(lambda *x: mg.addmm(*x, beta=2.0, alpha=0.5), _inputs((3,), (2, 2), (2, 3)))


def test_cdist_of_equal_rows_has_gradient_zero():
    x = mg.tensor([[1.0, 2.0], [1.0, 2.0]], requires_grad=True)
    mg.cdist(x, x).sum().backward()
    assert x.grad.tolist() == [[0.0, 0.0], [0.0, 0.0]]


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_any_einsum_as_numpy(data):
    sizes = {letter: data.draw(st.integers(0, 3)) for letter in "abcd"}
    terms = data.draw(st.lists(st.text("abcd", max_size=3), min_size=1, max_size=3))
    used = sorted(set("".join(terms)))
    output = "".join(data.draw(st.permutations(used))[: data.draw(st.integers(0, len(used)))])
    equation = ",".join(terms) + "->" + output
    local = np.random.default_rng(0)
    arrays = [local.standard_normal([sizes[c] for c in term]) for term in terms]
    tensors = [mg.tensor(a, requires_grad=True) for a in arrays]
    result = mg.einsum(equation, *tensors)
    np.testing.assert_allclose(result.detach().numpy(), np.einsum(equation, *arrays), atol=1e-12)
    result.sum().backward()  # linear in each operand, so <gradient, operand> is the sum again
    for t, a in zip(tensors, arrays):
        np.testing.assert_allclose(np.vdot(t.grad.numpy(), a), result.sum().item(), atol=1e-10)


def test_einsum_with_every_letter():
    x = mg.ones(*([1] * 26))
    letters = string.ascii_lowercase
    assert mg.einsum(f"{letters}->{letters[::-1]}", x).shape == (1,) * 26


def test_errors_say_how_to_go_on():
    a = mg.ones(4, 3)
    with pytest.raises(ShapeError, match=r"got \(4, 3\) @ \(4, 5\); transpose the first operand with \.mT"):
        a @ mg.ones(4, 5)
    with pytest.raises(ShapeError, match="transpose the second operand"):
        a @ mg.ones(5, 3)
    with pytest.raises(DTypeError, match="float32 and float64"):
        a @ mg.ones(3, 2, dtype="float64")
    with pytest.raises(DTypeError, match="got list"):
        mg.matmul(a, [[1.0]])
    with pytest.raises(UsageError, match="names 2 operands: got 1"):
        mg.einsum("ij,jk->ik", a)
    with pytest.raises(ShapeError, match="'j' stands for 3 and for 4"):
        mg.einsum("ij,jk->ik", a, a)

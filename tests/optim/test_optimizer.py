"""What the base class promises: groups, unusual arrays, state, saving and loading, errors."""

import subprocess
import sys

import numpy as np
import pytest

import minigrad as mg
from minigrad import optim
from minigrad.errors import DTypeError, GraphError, ShapeError, StateError, UsageError
from minigrad.training import checkpoint

EVERY = [
    (optim.SGD, {"lr": 0.1, "momentum": 0.9, "dampening": 0.2}),
    (optim.Adam, {"amsgrad": True}),
    (optim.AdamW, {}),
    (optim.Adagrad, {"lr_decay": 0.1}),
    (optim.RMSprop, {"momentum": 0.9, "centered": True}),
]
every_optimizer = pytest.mark.parametrize(("kind", "options"), EVERY, ids=[kind.__name__ for kind, _ in EVERY])


def parameter(shape, seed=0, dtype=np.float32):
    values = np.random.default_rng(seed).standard_normal(shape)
    return mg.tensor(np.asarray(values, dtype), requires_grad=True)


def train(optimizer, seeds):
    """One step a seed, with gradients drawn from it."""
    for seed in seeds:
        rng = np.random.default_rng(seed)
        for group in optimizer.param_groups:
            for p in group["params"]:
                p.grad = mg.tensor(rng.standard_normal(p.shape).astype(p.dtype))
        optimizer.step()


def test_import_leaves_numba_alone():
    code = "import sys, minigrad.optim; assert 'numba' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


class TestGroups:
    def test_own_options_come_before_defaults(self):
        a, b = parameter(2), parameter(2)
        optimizer = optim.SGD([{"params": [a], "lr": 1.0}, {"params": b}], lr=0.5)
        before = np.array(a.detach()), np.array(b.detach())
        a.grad, b.grad = mg.ones(2), mg.ones(2)
        optimizer.step()
        assert np.array_equal(a.detach(), before[0] - 1)
        assert np.array_equal(b.detach(), before[1] - 0.5)

    def test_the_callers_dict_is_left_alone(self):
        group = {"params": [parameter(2)]}
        optim.SGD([group], lr=0.5)
        assert group.keys() == {"params"}

    def test_an_option_may_change_during_training(self):
        p = parameter(2)
        optimizer = optim.SGD([p], lr=0.0)
        train(optimizer, [1])
        assert np.array_equal(p.detach(), parameter(2).detach())
        optimizer.param_groups[0]["lr"] = 1.0
        optimizer.param_groups[0]["momentum"] = 0.9
        train(optimizer, [1])
        assert not np.array_equal(p.detach(), parameter(2).detach())

    def test_parameters_without_gradients_stay(self):
        used, unused = parameter(2), parameter(3, seed=1)
        optimizer = optim.Adam([used, unused])
        used.grad = mg.ones(2)
        optimizer.step()
        assert np.array_equal(unused.detach(), parameter(3, seed=1).detach())
        assert list(optimizer.state_dict()["state"]) == [0]

    def test_add_param_group(self):
        optimizer = optim.SGD([parameter(2)], lr=0.5)
        optimizer.add_param_group({"params": parameter(3), "momentum": 0.9})
        assert [group["momentum"] for group in optimizer.param_groups] == [0, 0.9]
        assert "group 1: 1 parameters" in repr(optimizer) and "momentum: 0.9" in repr(optimizer)

    def test_zero_grad(self):
        p, q = parameter(2), parameter(2)
        optimizer = optim.SGD([p, q])
        p.grad = mg.ones(2)
        optimizer.zero_grad(set_to_none=False)
        assert np.array_equal(p.grad, [0, 0]) and q.grad is None
        optimizer.zero_grad()
        assert p.grad is None


class TestErrors:
    @pytest.mark.parametrize("empty", [[], iter([]), [{"params": []}]])
    def test_no_parameters(self, empty):
        with pytest.raises(UsageError, match="at least one parameter"):
            optim.SGD(empty)

    @pytest.mark.parametrize("params", [mg.zeros(2), np.zeros(2), 3, "weights", {mg.zeros(2)}, [1.0], [np.zeros(2)]])
    def test_no_tensors(self, params):
        with pytest.raises(DTypeError):
            optim.SGD(params)

    def test_twice(self):
        p = parameter(2)
        with pytest.raises(UsageError, match="parameter 1 of group 0 came before"):
            optim.SGD([p, p])
        with pytest.raises(UsageError, match="parameter 0 of group 1 came before"):
            optim.SGD([{"params": [p]}, {"params": [p]}])

    def test_a_result(self):
        with pytest.raises(UsageError, match="leaf tensors: parameter 0 of group 0 is the result of mul"):
            optim.SGD([parameter(2) * 2])

    def test_groups(self):
        optimizer = optim.SGD([parameter(2)])
        with pytest.raises(DTypeError, match="a parameter group is a dict"):
            optimizer.add_param_group([parameter(2)])
        with pytest.raises(UsageError, match='under "params"'):
            optimizer.add_param_group({"param": [parameter(2)]})
        with pytest.raises(UsageError, match="lr is a number"):
            optimizer.add_param_group({"params": [parameter(2)], "lr": -1})
        assert len(optimizer.param_groups) == 1

    def test_values_of_another_shape(self):
        p = parameter(2)
        optimizer = optim.Adam([p])
        train(optimizer, [0])
        p.data = np.zeros(3, np.float32)
        with pytest.raises(ShapeError, match=r"\(3,\) and grad \(2,\)"):
            optimizer.step()
        p.grad = mg.ones(3)
        with pytest.raises(ShapeError, match=r"\(3,\) and exp_avg \(2,\)"):
            optimizer.step()


class TestStep:
    def test_closure(self):
        p = parameter(2)
        optimizer = optim.SGD([p], lr=0.1)

        def closure():
            optimizer.zero_grad()
            loss = (p * p).sum()
            loss.backward()
            return loss

        with mg.no_grad():
            first = optimizer.step(closure)
        assert closure().item() < first.item()
        assert optimizer.step() is None

    def test_a_graph_from_before_is_stale(self):
        p = parameter(2)
        optimizer = optim.SGD([p], lr=0.1)
        loss = (p * p).sum()
        loss.backward(retain_graph=True)
        optimizer.step()
        with pytest.raises(GraphError, match="changed in place"):
            loss.backward()

    @every_optimizer
    @pytest.mark.parametrize("layout", ["fortran", "strided", "read-only", "scalar", "float16", "gradient"])
    def test_unusual_arrays(self, kind, options, layout):
        """Whatever the memory looks like, the values are those of the same step on a plain array."""
        plain = parameter((2, 3))
        odd = parameter((2, 3))
        values = np.array(plain.detach())
        match layout:
            case "fortran":
                odd.data = np.asfortranarray(values)
            case "strided":
                odd.data = np.repeat(values, 2, axis=1)[:, ::2]
            case "read-only":
                odd.data = values
                odd._data.flags.writeable = False
            case "scalar":
                plain, odd = parameter(()), parameter(())
                odd._data = odd._data[()]
            case "float16":
                odd.data = values.astype(np.float16)
        optimizers = kind([plain], **options), kind([odd], **options)
        for seed in range(3):
            g = np.asarray(np.random.default_rng(seed).standard_normal(plain.shape))
            plain.grad = mg.tensor(g.astype(np.float32))
            odd.grad = mg.tensor(g.astype(odd.dtype))
            if layout == "gradient":
                odd.grad._data = np.asfortranarray(odd.grad._data)
            for optimizer in optimizers:
                optimizer.step()
        tolerance = 5e-3 if layout == "float16" else 0
        assert odd.dtype == (np.float16 if layout == "float16" else np.float32)
        np.testing.assert_allclose(np.asarray(odd._data), plain._data, rtol=tolerance, atol=tolerance)

    def test_views_follow(self):
        """A parameter that is a window into a larger array stays one."""
        whole = np.zeros((4, 4), np.float32)
        p = mg.zeros(4, 2, requires_grad=True)
        p.data = whole[:, 1:3]
        p.grad = mg.ones(4, 2)
        optim.SGD([p], lr=1.0).step()
        assert np.array_equal(whole[0], [0, -1, -1, 0])


class TestState:
    @every_optimizer
    def test_resume_is_exact(self, kind, options, tmp_path):
        """Through a file and back, half-way: the second half has the same bits."""

        def build():
            return kind([{"params": [parameter((3, 4)), parameter(())]}, {"params": [parameter(5)], "lr": 0.02}], **options)

        through, first, second = build(), build(), build()
        train(through, range(10))
        train(first, range(5))
        arrays = {str(i): p.numpy() for i, p in enumerate(first._parameters())}
        checkpoint.save(tmp_path / "half", arrays, {"optimizer": first.state_dict()})
        arrays, state = checkpoint.load(tmp_path / "half")
        for i, p in enumerate(second._parameters()):
            p.data = arrays[str(i)]
        second.load_state_dict(state["optimizer"])
        train(second, range(5, 10))
        for p, q in zip(through._parameters(), second._parameters()):
            assert np.array_equal(p.detach(), q.detach())

    def test_snapshots_stand_alone(self):
        optimizer = optim.Adam([parameter(3)])
        train(optimizer, [0])
        saved = optimizer.state_dict()
        kept = {name: np.copy(x) for name, x in saved["state"][0].items()}
        other = optim.Adam([parameter(3)])
        other.load_state_dict(saved)
        train(optimizer, [1])
        train(other, [1])
        assert all(np.array_equal(saved["state"][0][name], x) for name, x in kept.items())

    def test_layout(self):
        optimizer = optim.AdamW([{"params": [parameter(3)]}, {"params": [parameter(2)], "lr": 0.5}])
        assert optimizer.state_dict()["state"] == {}
        train(optimizer, [0, 1])
        saved = optimizer.state_dict()
        assert [group["params"] for group in saved["param_groups"]] == [[0], [1]]
        assert saved["param_groups"][1]["lr"] == 0.5
        assert {name: np.shape(x) for name, x in saved["state"][1].items()} == {"step": (), "exp_avg": (2,), "exp_avg_sq": (2,)}
        assert saved["state"][0]["step"] == 2

    @every_optimizer
    def test_a_state_of_torch(self, kind, options):
        """Training that began in PyTorch goes on here."""
        torch = pytest.importorskip("torch")
        theirs = torch.tensor(np.array(parameter(4).detach()), requires_grad=True)
        reference = getattr(torch.optim, kind.__name__)([theirs], **options)
        ours = parameter(4)
        optimizer = kind([ours], **options)
        for step in range(10):
            if step == 5:
                ours.data = theirs.detach().numpy().copy()
                optimizer.load_state_dict(reference.state_dict())
            g = np.random.default_rng(step).standard_normal(4).astype(np.float32)
            theirs.grad, ours.grad = torch.tensor(g), mg.tensor(g)
            reference.step()
            if step >= 5:
                optimizer.step()
        np.testing.assert_allclose(ours.detach(), theirs.detach(), rtol=1e-5, atol=1e-6)

    def test_a_state_of_torch_without_momentum(self):
        torch = pytest.importorskip("torch")
        theirs = torch.ones(2, requires_grad=True)
        reference = torch.optim.SGD([theirs], lr=0.25)
        theirs.grad = torch.ones(2)
        reference.step()
        optimizer = optim.SGD([parameter(2)])
        optimizer.load_state_dict(reference.state_dict())
        assert optimizer.param_groups[0]["lr"] == 0.25

    def test_what_does_not_fit(self):
        source = optim.Adam([parameter(3), parameter(2)])
        train(source, [0])
        saved = source.state_dict()

        def reason(optimizer, state):
            with pytest.raises(StateError) as caught:
                optimizer.load_state_dict(state)
            return str(caught.value)

        assert "groups of [2] parameters, the optimizer of [1]" in reason(optim.Adam([parameter(3)]), saved)
        assert "group 0 lacks" in reason(optim.SGD([parameter(3), parameter(2)]), saved)
        target = optim.Adam([parameter(2), parameter(3)])
        message = reason(target, saved)
        assert "parameter 0 has shape (2,), its exp_avg (3,)" in message
        assert "parameter 1 has shape (3,), its exp_avg_sq (2,)" in message
        assert target.state == {}
        del saved["state"][0]["exp_avg"]
        saved["state"][1]["extra"] = 1
        saved["state"][7] = {}
        message = reason(source, saved)
        assert "parameter 0 lacks exp_avg" in message
        assert "parameter 1 has extra" in message
        assert "parameter 7" in message

    def test_a_larger_dtype_is_cast(self):
        source, target = optim.Adam([parameter(2, dtype=np.float64)]), optim.Adam([parameter(2)])
        train(source, [0])
        target.load_state_dict(source.state_dict())
        assert target.state_dict()["state"][0]["exp_avg"].dtype == np.float32

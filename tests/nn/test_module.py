"""Module: what belongs to it, its state, its modes, and its hooks."""

import copy
import gc
import weakref

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.errors import DTypeError, GraphError, StateError, UsageError


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.scale = nn.Parameter(mg.ones(4))
        self.second = nn.Linear(4, 2, bias=False)
        self.register_buffer("steps", mg.tensor([0.0]))
        self.register_buffer("scratch", mg.tensor([1]), persistent=False)

    def forward(self, x):
        return self.second(mg.tanh(self.first(x)) * self.scale)


def names(pairs):
    return [name for name, _ in pairs]


# -- what belongs to a module -------------------------------------------------------------------------------------------


def test_members_come_in_the_order_of_definition():
    net = Net()
    assert names(net.named_parameters()) == ["scale", "first.weight", "first.bias", "second.weight"]
    assert names(net.named_parameters(recurse=False)) == ["scale"]
    assert names(net.named_parameters(prefix="net"))[0] == "net.scale"
    assert names(net.named_buffers()) == ["steps", "scratch"]
    assert names(net.named_modules()) == ["", "first", "second"]
    assert names(net.named_children()) == ["first", "second"]
    assert next(iter(net.modules())) is net and list(net.children()) == [net.first, net.second]
    assert net.get_submodule("first") is net.first and net.get_submodule("") is net
    assert [p is q for p, (_, q) in zip(net.parameters(), net.named_parameters())] == [True] * 4


def test_same_order_and_names_as_torch():
    torch = pytest.importorskip("torch")

    def build(nn, one):
        class Block(nn.Module):
            def __init__(self):
                super().__init__()
                self.a = nn.Linear(2, 3)
                self.p = nn.Parameter(one)
                self.list = nn.ModuleList([nn.LayerNorm(3), nn.Sequential(nn.Linear(3, 3), nn.ReLU())])
                self.dict = nn.ModuleDict({"x": nn.Embedding(3, 2)})
                self.register_buffer("b", one)
                self.a = nn.Linear(2, 4)  # a second assignment keeps the first one's place
                self.tied = self.a

        return Block()

    ours, theirs = build(nn, mg.ones(1)), build(torch.nn, torch.ones(1))
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert names(ours.named_parameters()) == names(theirs.named_parameters())
    assert names(ours.named_modules()) == names(theirs.named_modules())


def test_tied_weights_count_once_and_stay_tied():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(5, 3)
            self.out = nn.Linear(3, 5, bias=False)
            self.out.weight = self.embed.weight

    net = Tied()
    assert names(net.named_parameters()) == ["embed.weight"]
    assert names(net.named_parameters(remove_duplicate=False)) == ["embed.weight", "out.weight"]
    assert list(net.state_dict()) == ["embed.weight", "out.weight"]
    net.out(net.embed(mg.tensor([1, 2]))).sum().backward()
    both = net.embed.weight.grad.numpy()
    assert np.abs(both).min(1).min() > 0  # every row through the product, rows 1 and 2 through the table besides
    twin = copy.deepcopy(net)
    assert twin.out.weight is twin.embed.weight is not net.embed.weight
    net.load_state_dict(net.state_dict())
    assert net.out.weight is net.embed.weight


def test_attributes_of_other_kinds_are_left_alone():
    net = nn.Module()
    net.table = mg.ones(2)
    net.size = 3
    net.part = None
    assert not net.state_dict() and not list(net.parameters()) and net.part is None
    net.part = nn.Linear(1, 1)
    assert names(net.named_children()) == ["part"]
    del net.part
    assert not list(net.children())


def test_forgotten_super_init_is_named():
    class Wrong(nn.Module):
        def __init__(self):
            self.layer = nn.Linear(1, 1)

    with pytest.raises(UsageError, match=r"Wrong.__init__ assigns 'layer'.*call super\(\).__init__\(\) first"):
        Wrong()

    class WrongBuffer(nn.Module):
        def __init__(self):
            self.register_buffer("b", mg.ones(1))

    with pytest.raises(UsageError, match=r"super\(\).__init__"):
        WrongBuffer()


def test_a_parameter_is_replaced_by_a_parameter_only():
    layer = nn.Linear(2, 2)
    with pytest.raises(DTypeError, match=r"'weight' is a parameter of Linear.*nn.Parameter"):
        layer.weight = mg.ones(2, 2)
    layer.weight = nn.Parameter(mg.ones(2, 2))
    layer.bias = None
    assert layer(mg.ones(1, 2)).tolist() == [[2, 2]]
    net = Net()
    with pytest.raises(DTypeError, match="'steps' is a buffer"):
        net.steps = 3
    net.steps = mg.tensor([7.0])
    assert net.state_dict()["steps"].tolist() == [7]


@pytest.mark.parametrize("name", ["", "a.b", "forward", 3])
def test_names_that_cannot_be(name):
    with pytest.raises(UsageError):
        Net().register_parameter(name, nn.Parameter(mg.ones(1)))
    with pytest.raises(UsageError):
        Net().add_module(name, nn.Identity())


def test_registering():
    net = Net()
    net.register_parameter("extra", nn.Parameter(mg.ones(1)))
    net.register_parameter("absent", None)
    net.add_module("part", nn.Identity())
    net.register_buffer("steps", mg.tensor([5.0]), persistent=False)  # again, and now not saved
    assert "extra" in net.state_dict() and "absent" not in net.state_dict() and "steps" not in net.state_dict()
    with pytest.raises(DTypeError):
        net.register_parameter("extra", mg.ones(1))
    with pytest.raises(DTypeError):
        net.register_buffer("b", np.ones(1))
    with pytest.raises(DTypeError):
        net.add_module("m", mg.relu)


def test_unknown_submodule_lists_the_known():
    with pytest.raises(UsageError, match="no part 'third': it has first, second"):
        Net().get_submodule("third")


def test_module_without_forward():
    with pytest.raises(NotImplementedError, match="Module has no forward"):
        nn.Module()(1)


# -- Parameter ----------------------------------------------------------------------------------------------------------


def test_parameter():
    values = mg.ones(2)
    p = nn.Parameter(values)
    assert p.requires_grad and p.is_leaf and isinstance(p, mg.Tensor)
    assert np.shares_memory(p.numpy(), values.numpy())
    assert repr(p) == "Parameter containing:\ntensor([1., 1.], requires_grad=True)"
    assert nn.Parameter([1.0, 2.0]).tolist() == [1, 2]
    assert not nn.Parameter(mg.tensor([1]), requires_grad=False).requires_grad
    with pytest.raises(DTypeError):
        nn.Parameter(mg.tensor([1]))
    assert type(p * 2) is mg.Tensor


def test_parameter_made_from_a_result_is_a_leaf():
    x = mg.ones(2, requires_grad=True)
    p = nn.Parameter((x * 3).sum())
    assert p.is_leaf and p.item() == 6
    p.data[...] = 1.0
    assert p.item() == 1


def test_deepcopy_of_a_module_is_independent():
    net = Net()
    net(mg.ones(1, 3)).sum().backward()
    twin = copy.deepcopy(net)
    assert isinstance(twin.scale, nn.Parameter) and names(twin.named_parameters()) == names(net.named_parameters())
    assert np.array_equal(twin.scale.grad.numpy(), net.scale.grad.numpy())
    with mg.no_grad():
        twin.scale.zero_()
    assert net.scale.tolist() == [1] * 4


# -- state --------------------------------------------------------------------------------------------------------------


def test_state_dict_shares_memory_and_is_off_the_tape():
    net = Net()
    state = net.state_dict(prefix="net.")
    assert list(state) == ["net.scale", "net.steps", "net.first.weight", "net.first.bias", "net.second.weight"]
    assert all(not t.requires_grad for t in state.values())
    with mg.no_grad():
        net.scale.fill_(3)
    assert state["net.scale"].tolist() == [3] * 4
    assert net.state_dict(keep_vars=True)["scale"] is net.scale


def test_state_moves_between_modules_as_tensors_or_arrays():
    a, b, c = Net(), Net(), Net()
    x = mg.tensor(np.random.default_rng(0).normal(size=(5, 3)), dtype="float32")
    weight = b.first.weight
    left_over = b.load_state_dict(a.state_dict())
    assert left_over == ([], []) and left_over.missing_keys == []
    assert b.first.weight is weight and b.first.weight.requires_grad
    c.load_state_dict({name: np.array(t.numpy()) for name, t in a.state_dict().items()})
    assert np.array_equal(a(x).numpy(), b(x).numpy()) and np.array_equal(a(x).numpy(), c(x).numpy())


def test_loading_converts_to_the_modules_dtype():
    net = Net().double()
    net.load_state_dict(Net().state_dict())
    assert {p.dtype for p in net.parameters()} == {np.dtype("float64")}


def test_one_error_lists_everything_and_changes_nothing():
    net = Net()
    before = {name: np.array(t.numpy()) for name, t in net.state_dict().items()}
    state = {name: np.zeros(t.shape) for name, t in net.state_dict().items()}
    del state["scale"], state["first.bias"]
    state["first.weight"] = np.zeros((4, 5))
    state["second.weight"] = np.zeros(2)
    state["third.weight"] = np.zeros(1)
    with pytest.raises(StateError) as caught:
        net.load_state_dict(state)
    message = str(caught.value)
    assert "missing: scale, first.bias" in message and "unexpected: third.weight" in message
    assert "first.weight is (4, 3) in the module, (4, 5) in the state" in message
    assert "second.weight is (2, 4) in the module, (2,) in the state" in message
    with pytest.raises(StateError, match="of another shape"):
        net.load_state_dict(state, strict=False)
    for name, t in net.state_dict().items():
        assert np.array_equal(t.numpy(), before[name])


def test_not_strict_takes_what_fits():
    net = Net()
    left_over = net.load_state_dict({"scale": np.full(4, 2.0), "other": np.zeros(1)}, strict=False)
    assert left_over.unexpected_keys == ["other"]
    assert left_over.missing_keys == ["steps", "first.weight", "first.bias", "second.weight"]
    assert net.scale.tolist() == [2] * 4


def test_values_that_are_no_numbers():
    with pytest.raises(StateError, match="'scale'"):
        Net().load_state_dict({"scale": "wrong"}, strict=False)


def test_loading_between_forward_and_backward_is_noticed():
    net = Net()
    loss = net(mg.ones(2, 3)).sum()
    net.load_state_dict(net.state_dict())
    with pytest.raises(GraphError, match="changed in place"):
        loss.backward()


def test_loading_into_read_only_memory():
    shared = np.broadcast_to(np.float32(1), (2, 2))
    layer = nn.Linear(2, 2, bias=False)
    layer.weight.data = shared
    layer.load_state_dict({"weight": np.eye(2)})
    assert layer.weight.tolist() == [[1, 0], [0, 1]]


# -- modes and dtypes ---------------------------------------------------------------------------------------------------


def test_train_and_eval_reach_every_part():
    net = nn.Sequential(Net(), nn.Dropout())
    assert all(m.training for m in net.modules())
    assert net.eval() is net and not any(m.training for m in net.modules())
    net.train()
    assert all(m.training for m in net.modules())
    with pytest.raises(UsageError, match="True or False: got str"):
        net.train("yes")


def test_zero_grad_requires_grad_and_apply():
    net = Net()
    net(mg.ones(1, 3)).sum().backward()
    net.zero_grad(set_to_none=False)
    assert all(not p.grad.numpy().any() for p in net.parameters())
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())
    net.requires_grad_(False)
    assert not net(mg.ones(1, 3)).requires_grad
    seen = []
    assert net.apply(seen.append) is net
    assert seen == [net.first, net.second, net]


def test_conversion_keeps_parameters_and_converts_gradients():
    net = Net()
    net(mg.ones(1, 3)).sum().backward()
    parameters, gradient = list(net.parameters()), net.scale.grad.numpy()
    assert net.double() is net
    assert all(p is q and p.dtype == mg.float64 for p, q in zip(net.parameters(), parameters))
    assert net.scale.grad.dtype == mg.float64 and np.array_equal(net.scale.grad.numpy(), gradient)
    assert net.steps.dtype == mg.float64 and net.scratch.dtype == mg.int64
    assert net(mg.ones(1, 3, dtype=mg.float64)).dtype == mg.float64
    assert net.float().scale.dtype == mg.float32
    with pytest.raises(DTypeError):
        net.to(mg.int64)


# -- hooks --------------------------------------------------------------------------------------------------------------


def test_forward_hooks_see_and_replace():
    layer = nn.Linear(2, 2)
    seen = []
    first = layer.register_forward_pre_hook(lambda m, args: seen.append(("before", m, args)))
    second = layer.register_forward_hook(lambda m, args, out: seen.append(("after", m, args, out)))
    x = mg.ones(1, 2)
    y = layer(x)
    assert [s[0] for s in seen] == ["before", "after"] and seen[0][1] is layer
    assert seen[0][2] == (x,) and seen[1][3] is y
    first.remove(), second.remove()
    layer(x)
    assert len(seen) == 2
    with layer.register_forward_pre_hook(lambda m, args: mg.zeros(1, 2)):
        assert np.allclose(layer(x).numpy(), layer.bias.numpy())
    with layer.register_forward_hook(lambda m, args, out: out * 2):
        assert np.allclose(layer(x).numpy(), 2 * y.numpy())
    assert np.array_equal(layer(x).numpy(), y.numpy())


def test_forward_hooks_with_keyword_arguments():
    layer = nn.Linear(2, 2)
    x = mg.ones(1, 2)
    with layer.register_forward_pre_hook(lambda m, args, kwargs: (args, {"input": x * 0}), with_kwargs=True):
        assert np.allclose(layer(input=x).numpy(), layer.bias.numpy())
    seen = []
    with layer.register_forward_hook(lambda m, args, kwargs, out: seen.append(kwargs), with_kwargs=True):
        layer(input=x)
    assert seen[0]["input"] is x
    with (
        layer.register_forward_pre_hook(lambda m, args, kwargs: args, with_kwargs=True),
        pytest.raises(UsageError, match="pre-hook"),
    ):
        layer(input=x)


def test_hooks_run_in_order_and_belong_to_their_copy():
    layer = nn.Identity()
    layer.register_forward_hook(lambda m, args, out: out + 1)
    last = layer.register_forward_hook(lambda m, args, out: out * 10)
    twin = copy.deepcopy(layer)
    assert layer(mg.tensor(1.0)).item() == 20
    last.remove()
    assert layer(mg.tensor(1.0)).item() == 2 and twin(mg.tensor(1.0)).item() == 20


def test_backward_hook_sees_what_torch_shows():
    torch = pytest.importorskip("torch")

    def run(nn, tensor, ones):
        class Two(nn.Module):
            def __init__(self):
                super().__init__()

            def forward(self, x, factor, y):
                z = x * y * factor
                return z + x, z * z  # x and z are used twice: the hook sees their whole gradients

        module, seen = Two(), []
        module.register_full_backward_hook(lambda m, gin, gout: seen.append((m is module, gin, gout)))
        x, y = tensor([[1.0, 2.0]]), tensor([3.0, 4.0])
        x.requires_grad_(), y.requires_grad_()
        a, b = module(x * 1, 2, y)
        (a.sum() + (b * ones(2)).sum()).backward()
        ((same, gin, gout),) = seen
        assert same and gin[1] is None and len(gin) == 3
        return [t.tolist() for t in (gin[0], gin[2], *gout, x.grad, y.grad)]

    assert run(nn, mg.tensor, mg.ones) == run(torch.nn, torch.tensor, torch.ones)


def test_backward_hook_replaces_the_input_gradient():
    layer = nn.Linear(2, 2)
    x = mg.ones(1, 2, requires_grad=True)
    with layer.register_full_backward_hook(lambda m, gin, gout: (gin[0] * 0 + 5,)):
        layer(x).sum().backward()
    assert x.grad.tolist() == [[5, 5]]
    assert layer.weight.grad.tolist() == [[1, 1], [1, 1]]
    with layer.register_full_backward_hook(lambda m, gin, gout: (None,)):
        y = layer(x)
    with pytest.raises(UsageError, match="got \\(None\\) for \\(a gradient\\)"):
        y.sum().backward()


def test_backward_hook_without_input_gradient():
    layer, seen = nn.Linear(2, 2), []
    layer.register_full_backward_hook(lambda m, gin, gout: seen.append((gin, gout[0].tolist())))
    layer(mg.ones(1, 2)).sum().backward()
    assert seen == [((None,), [[1, 1]])]
    with mg.no_grad():
        layer(mg.ones(1, 2))
    assert len(seen) == 1


def test_hooked_graphs_are_freed_by_reference_counting():
    layer = nn.Linear(2, 2)
    layer.register_full_backward_hook(lambda m, gin, gout: None)
    gc.collect()
    gc.disable()
    try:
        y = layer(mg.ones(1, 2, requires_grad=True))
        node = weakref.ref(y.grad_fn)
        del y
        assert node() is None
    finally:
        gc.enable()


# -- presentation -------------------------------------------------------------------------------------------------------


def test_repr_is_the_tree_that_torch_prints():
    torch = pytest.importorskip("torch")

    def build(nn):
        return nn.Sequential(
            nn.Linear(2, 3),
            nn.Sequential(nn.Linear(3, 3, bias=False), nn.ReLU(), nn.Dropout(0.1)),
            nn.ModuleDict({"words": nn.Embedding(4, 2, padding_idx=0), "none": nn.Sequential()}),
            nn.ModuleList([nn.RMSNorm(3, eps=1e-6), nn.Identity(), nn.GELU(), nn.Softmax(dim=-1)]),
        )

    assert repr(build(nn)) == repr(build(torch.nn))


def test_summary():
    net = Net()
    net.second.weight.requires_grad_(False)
    net.train()
    net.first.eval()
    table = net.summary(mg.ones(5, 3))
    lines = table.splitlines()
    assert lines[0].split() == ["layer", "class", "output", "parameters"]
    assert lines[2].split() == ["Net", "(5,", "2)", "28"]
    assert lines[3].split() == ["first", "Linear", "(5,", "4)", "16"]
    assert lines[-1] == "28 parameters, 20 of them trained, 0.00 MiB"
    assert net.training and not net.first.training  # as before
    assert "(5" not in net.summary()
    assert not net._hooks.after


def test_summary_counts_tied_weights_once():
    layer = nn.Linear(3, 3, bias=False)
    assert nn.Sequential(layer, layer).summary().splitlines()[-1].startswith("9 parameters")

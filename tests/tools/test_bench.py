"""The benchmark: its method, on works that cost nothing, and that both sides of a contest do the same. No speed is tested."""

import json
import os
import sys
import xml.etree.ElementTree as ET
from types import SimpleNamespace

import numpy as np
import pytest

import minigrad as mg
from tools.bench import __main__ as command
from tools.bench import groups, machine, picture, report
from tools.bench import measure as bench_measure
from tools.bench.measure import Contest, Result, geometric_mean, measure

RESULT = Result("tape", "a & b", 1000, "operations", {"minigrad": [0.002, 0.001, 0.004], "torch": [0.004, 0.003, 0.002]})
ALONE = Result("startup", "cold", 0, "", {"minigrad": [12.3]})


def recorder(name: str, calls: list):
    return lambda: calls.append(name)


# -- the method ---------------------------------------------------------------------------------------------------------


def test_sides_take_turns_and_each_goes_first_in_its_turn():
    calls = []
    contest = Contest("x", {name: recorder(name, calls) for name in ("minigrad", "torch")})
    result = measure("tape", contest, turns=2, pause=0, block=0)
    assert calls == ["minigrad"] * 2 + ["torch"] * 2 + ["minigrad", "torch", "torch", "minigrad"]  # rehearsals, then turns
    assert {name: len(seconds) for name, seconds in result.readings.items()} == {"minigrad": 2, "torch": 2}


def test_a_block_repeats_short_work():
    calls = []
    measure("tape", Contest("x", {"minigrad": recorder("minigrad", calls)}), turns=1, pause=0, block=0.001)
    assert len(calls) > 10


@pytest.mark.parametrize(("seconds", "turns"), [(0.0, 7), (0.3, 7), (8.0, 5), (30.0, 3)])
def test_long_work_has_fewer_turns(seconds, turns):
    assert bench_measure._turns(7, seconds) == turns
    assert bench_measure._turns(2, seconds) == 2


def test_a_pause_of_the_machine_is_not_taken_for_the_work(monkeypatch):
    ticks = iter([0.0, 5.0, 5.0, 5.1, 5.1, 7.1])
    monkeypatch.setattr(bench_measure.time, "perf_counter", lambda: next(ticks))
    assert bench_measure._undisturbed(int, 1, block=1.0) == pytest.approx(0.1)
    assert bench_measure._undisturbed(int, 1, block=0.1) == pytest.approx(2.0)  # so long that once will do


def test_a_cold_start_is_run_once_without_rehearsal():
    calls = []
    result = measure("startup", Contest("x", {"minigrad": recorder("minigrad", calls)}, once=True), turns=5, pause=0)
    assert calls == ["minigrad"]
    assert len(result.readings["minigrad"]) == 1


def test_memory_is_what_the_work_returns():
    contest = Contest("x", {"minigrad": lambda: 200, "torch": lambda: 500}, quantity="bytes")
    result = measure("memory", contest, turns=3, pause=0)
    assert result.readings == {"minigrad": [200], "torch": [500]}
    assert result.ratio("torch") == 2.5


def test_ratios_are_taken_within_a_turn():
    assert RESULT.ratios("torch") == pytest.approx([2, 3, 0.5])
    assert RESULT.ratio("torch") == pytest.approx(2)
    assert RESULT.median("minigrad") == 0.002
    assert geometric_mean([2, 0.5]) == pytest.approx(1)


# -- the report ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(12.345, "12.3 s"), (0.00217, "2.17 ms"), (0.5, "500 ms"), (4.2e-7, "0.420 us"), (1e-6, "1.00 us"), (123.4, "123 s")],
)
def test_durations_have_three_digits(seconds, text):
    assert report.duration(seconds) == text


def test_a_line_holds_times_rate_and_ratio():
    line = report.line(RESULT, ["torch"])
    for part in ("a & b", "2.00 ms", "500,000 operations/s", "3.00 ms", "2.00 (0.50-3.00)"):
        assert part in line
    assert report.line(ALONE, ["torch"]).split() == ["cold", "12.3", "s"]


def test_ratios_and_shares_keep_a_digit():
    result = Result("lesson", "slow", 0, "", {"minigrad": [1.0], "numpy": [8.4e-5]})
    assert report.line(result, ["numpy"]).endswith("8e-05 (8e-05-8e-05)")
    assert [report.ratio(value) for value in (0.095, 1.0, 99.99, 100.0, 5252.34)] == ["0.10", "1.00", "99.99", "100", "5252"]
    assert [report.percent(share) for share in (0.98765, 0.000123)] == ["98.8 %", "0.0123 %"]


def test_memory_is_shown_and_written_as_bytes():
    result = Result("memory", "step", 0, "", {"minigrad": [2.5e8], "torch": [5e8]}, "bytes")
    assert report.line(result, ["torch"]).split() == ["step", "250", "MB", "500", "MB", "2.00", "(2.00-2.00)"]
    assert json.loads(report.as_json([result], {}))["results"][0]["bytes"]["torch"] == [5e8]


def in_section(section, *ratios):
    return [Result("matmul", "x", 0, "", {"minigrad": [1.0], "torch": [r]}, section=section) for r in ratios]


def test_summary_is_the_geometric_mean_and_empty_for_one_contest():
    assert report.summary([RESULT, RESULT], ["torch"]).endswith(" 2.00")
    assert report.summary([RESULT, ALONE], ["torch"]) == report.summary([ALONE, ALONE], []) == ""


def test_sections_have_means_of_their_own_and_one_of_all():
    results = in_section("small", 1.0, 4.0) + in_section("single", 8.0) + in_section("large", 8.0, 8.0) + in_section(None, 99.0)
    assert report.means(results) == {
        "small": {"torch": pytest.approx(2)},
        "large": {"torch": pytest.approx(8)},
        "all": {"torch": pytest.approx(2048**0.2)},
    }
    lines = report.summary(results, ["numpy", "torch"]).splitlines()
    assert [line.split()[-1] for line in lines] == ["2.00", "8.00", "4.59"]
    assert lines[0].startswith("geometric mean: small")
    assert json.loads(report.as_json(results, {}))["geometric_means"]["matmul"]["large"] == {"torch": pytest.approx(8)}


def test_json_keeps_every_turn():
    content = json.loads(report.as_json([RESULT, ALONE], {"CPU": "fast"}))
    assert content["machine"] == {"CPU": "fast"}
    assert content["results"][0]["seconds"] == RESULT.readings
    assert [r["median_ratio"] for r in content["results"]] == [pytest.approx({"torch": 2}), {}]


def test_picture_has_a_bar_for_each_ratio_and_is_well_formed():
    root = ET.fromstring(picture.draw([RESULT, ALONE, RESULT], "some < machine"))
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts.count("2.00") == texts.count("a & b") == 2
    assert "cold" not in texts
    assert "some < machine" in texts
    ET.fromstring(picture.draw([], "nothing measured"))


# -- the command line ---------------------------------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch):
    """One contest of works that do nothing, and no change of this process's threads."""
    monkeypatch.setattr(command, "contests", lambda group, libraries: iter([Contest("nothing", dict.fromkeys(libraries, int))]))
    monkeypatch.setattr(command, "measure", lambda group, contest, turns: measure(group, contest, turns, pause=0, block=0))
    monkeypatch.setattr(command, "remarks", lambda group, results: ["a remark"])
    monkeypatch.setattr(machine, "announce_threads", lambda threads: None)


def test_main_writes_table_json_and_picture(quick, tmp_path, capsys):
    status = command.main(
        ["matmul", "--peers", "numpy", "--turns", "2", "--json", f"{tmp_path}/r.json", "--picture", f"{tmp_path}/p.svg"]
    )
    assert status == 0
    out = capsys.readouterr().out
    for part in ("CPU", "threads", f"numpy {np.__version__}", f"minigrad {mg.__version__}", "matmul:", "nothing", "a remark"):
        assert part in out
    assert len(json.loads((tmp_path / "r.json").read_text())["results"][0]["seconds"]["numpy"]) == 2
    assert (tmp_path / "p.svg").read_text().startswith("<svg")


def test_a_missing_peer_is_said_and_done_without(quick, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert command.main(["tape", "--turns", "1", "--peers", "torch"]) == 0
    out = capsys.readouterr().out
    assert "measuring without torch: it is not installed (pip install -e '.[bench]' brings it)" in out
    assert "ratio" not in out


def test_without_a_compiler_torch_compile_is_left_out_with_the_reason(quick, monkeypatch, capsys):
    monkeypatch.setattr(machine.shutil, "which", lambda name: None)
    assert command.main(["tape", "--turns", "1", "--peers", "torch.compile"]) == 0
    assert "measuring without torch.compile: there is no C++ compiler on the path" in capsys.readouterr().out


def test_interruption_keeps_what_was_measured(quick, monkeypatch, tmp_path):
    def interrupted(group, libraries):
        yield Contest("nothing", {"minigrad": int})
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "contests", interrupted)
    assert command.main(["tape", "--peers", "", "--json", f"{tmp_path}/r.json"]) == 130
    assert len(json.loads((tmp_path / "r.json").read_text())["results"]) == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["speed"], "the groups are tape, matmul"),
        (["--peers", "jax"], "the peers are numpy, torch, torch.compile, gensim: got 'jax'"),
        (["--turns", "0"], "must be a number from 1: got '0'"),
        (["--json", "no/such/directory/r.json"], "must be a file in an existing directory"),
    ],
)
def test_bad_options_are_one_sentence(arguments, says, capsys):
    with pytest.raises(SystemExit) as stopped:
        command.main(arguments)
    assert stopped.value.code == 2
    assert says in capsys.readouterr().err


def test_threads_are_announced_to_every_library(monkeypatch):
    monkeypatch.setattr(os, "environ", {})
    machine.announce_threads(3)
    assert set(os.environ.values()) == {"3"}
    assert {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"} <= set(os.environ)


# -- the groups ---------------------------------------------------------------------------------------------------------


def test_participants_are_minigrad_and_those_that_can():
    libraries = dict.fromkeys(("minigrad", "numpy", "torch"), SimpleNamespace())
    assert list(groups.participants("tape", libraries)) == ["minigrad", "torch"]
    assert list(groups.participants("matmul", libraries)) == ["minigrad", "numpy", "torch"]


def taped_libraries():
    torch = pytest.importorskip("torch")
    return {"minigrad": mg, "torch": torch}


def test_chains_give_ordinary_gradients():
    from tools.bench.groups import tape

    seen = []

    def watched(*args, **kwargs):
        made = mg.tensor(*args, **kwargs)
        made.register_hook(lambda g: seen.append(np.array(g.data)))
        return made

    library = SimpleNamespace(tensor=watched)
    tape.scalar_chain(library, 400)()
    tape.matrix_chain(library, 5, 4)()
    assert 1 < seen[0] < 2
    assert all(np.isfinite(g).all() for g in seen)


@pytest.mark.parametrize("name", ["numpy", "torch"])
def test_products_agree(name):
    from tools.bench.groups import matmul

    library = pytest.importorskip(name)
    a, b = np.random.default_rng(0).standard_normal((2, 3, 8, 8), dtype=np.float32)
    ours, theirs = matmul.product("minigrad", mg, a, b)(), matmul.product(name, library, a, b)()
    np.testing.assert_allclose(ours, np.asarray(theirs), rtol=1e-5, atol=1e-5)


def test_products_are_as_their_names_say(monkeypatch):
    from tools.bench.groups import matmul

    seen = []
    monkeypatch.setattr(matmul, "product", lambda name, library, a, b: seen.append((a, b)))
    monkeypatch.setattr(matmul, "SECTIONS", {"float64": [(1, 2, 3, 4, "")], "two": [(5, 2, 3, 4, "B"), (1, 2, 3, 4, "A")]})
    found = list(matmul.contests({"minigrad": mg}))
    assert [contest.name for contest in found] == ["2 x 3 by 3 x 4", "5 of 2 x 3 by 3 x 4 T", "2 x 3 T by 3 x 4"]
    assert [contest.section for contest in found] == ["float64", "two", "two"]
    assert [contest.amount for contest in found] == pytest.approx([48e-9, 240e-9, 48e-9])
    assert [(a.shape, b.shape) for a, b in seen] == [((2, 3), (3, 4)), ((5, 2, 3), (5, 3, 4)), ((2, 3), (3, 4))]
    assert [a.dtype for a, _ in seen] == [np.float64, np.float32, np.float32]
    assert seen[1][1].strides == (48, 4, 12) and seen[2][0].strides == (4, 8)


def test_every_function_has_small_and_large_inputs():
    from tools.bench.groups import kernels

    listed = [{name for name, _ in cases} for cases in kernels.SECTIONS.values()]
    assert set.union(*listed) == set(kernels.FUNCTIONS)
    assert listed[0] | {"attention, causal"} == listed[2] | {"linear"} == set(kernels.FUNCTIONS)


def test_kernels_run_on_both_libraries():
    from tools.bench.groups import kernels

    for library in taped_libraries().values():
        for function, shape in kernels.SECTIONS["small inputs"]:
            kernels.forward_backward(library, function, shape)()
        kernels.recurrent(library, "GRU", 2, 8, batch=3, steps=4)()


def test_both_transformers_compute_the_same_loss():
    from models.transformer import Transformer
    from tools.bench.groups import train

    torch = pytest.importorskip("torch")
    sizes = {"dim": 16, "ffn": 32, "heads": 2, "encoder_layers": 1, "decoder_layers": 1}
    batch = train.random_batch(16, tokens=64, vocabulary=50)
    ours = Transformer(50, label_smoothing=train.SMOOTHING, **sizes).eval()
    theirs = train.torch_transformer(torch, 50, **sizes).eval()
    theirs.load_state_dict({name: torch.from_numpy(np.array(value.data)) for name, value in ours.state_dict().items()})
    loss = theirs.loss(*(torch.from_numpy(side) for side in (batch.source, batch.target_input, batch.target)))
    assert ours.loss(batch)[0].item() == pytest.approx(loss.item(), rel=1e-5)
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters())


def test_a_compiled_step_that_fails_is_left_out_with_the_reason(monkeypatch, capsys):
    from tools.bench.groups import train

    def fails(*arguments, **options):
        def work():
            raise RuntimeError("no compiler\nand much more")

        return work

    monkeypatch.setattr(train, "torch_step", fails)
    assert train._compiled(SimpleNamespace(), {}, None) is None
    assert capsys.readouterr().err == "torch.compile is left out: RuntimeError: no compiler\n"


def test_memory_is_the_peak_since_the_imports(monkeypatch):
    from tools.bench.groups import memory

    seen = []
    monkeypatch.setattr(memory, "_resident", lambda which: seen.append(which) or {"VmRSS": 100, "VmHWM": 350}[which])
    monkeypatch.setattr(memory, "_forget_peak", lambda: seen.append("forget"))
    monkeypatch.setattr(memory, "random_batch", lambda length, tokens: tokens)
    monkeypatch.setattr(memory, "our_step", lambda preset, tokens: lambda: seen.append(tokens))
    assert memory.trained_peak("minigrad", "small", 128, 4096) == 250
    assert seen == ["VmRSS", 2 * 128, "forget", 4096, 4096, 4096, "VmHWM"]


def test_the_peak_of_this_process_is_at_least_what_it_holds():
    from tools.bench.groups import memory

    pytest.importorskip("resource")
    assert 10_000_000 < memory._resident("VmRSS") <= memory._resident("VmHWM")


def test_memory_is_that_of_another_process(monkeypatch):
    from tools.bench.groups import memory

    programs = []
    monkeypatch.setattr(memory, "run_python", lambda program: programs.append(program) or "12345\n")
    monkeypatch.setattr(memory, "TOKENS", (64,))
    step, batch = [list(memory.contests({"minigrad": mg, "torch": SimpleNamespace()}))[i] for i in (2, -1)]
    assert [work() for work in step.sides.values()] == [12345, 12345]
    assert "trained_peak(*('torch', 'small', 32, 4096))" in programs[1]
    assert batch.name == "tiny, sentences of 32, 64 tokens"


def test_scaling_grows_batches_chains_and_threads(monkeypatch):
    from tools.bench.groups import scaling

    monkeypatch.setattr(scaling, "our_step", lambda preset, batch: batch.source.size)
    monkeypatch.setattr(scaling, "scalar_chain", lambda library, operations: operations)
    monkeypatch.setattr(scaling.our_threads, "get_num_threads", lambda: 2)
    found = list(scaling.contests({"minigrad": mg}))
    sizes = (*scaling.TOKENS, *scaling.OPERATIONS)
    assert [contest.amount for contest in found] == [*sizes, scaling.TOKENS[1], scaling.TOKENS[1]]
    assert [contest.sides["minigrad"] for contest in found[:-2]] == list(sizes)


def test_growth_is_said_per_unit_of_work():
    from tools.bench.groups import scaling

    results = [
        Result("scaling", "", amount, "", {"minigrad": [seconds]}, section=section)
        for amount, seconds, section in (
            (1000, 1e-3, scaling._BATCHES),
            (4000, 6e-3, scaling._BATCHES),
            (9, 3.0, scaling._THREADS),
        )
    ]
    (line,) = scaling.remarks(results)
    assert line == "minigrad's time per token: 1.00 us, 1.50 us; the largest is 1.50 times the least"
    results.append(Result("scaling", "", 9, "", {"minigrad": [1.5]}, section=scaling._THREADS))
    assert scaling.remarks(results)[1] == "minigrad on 2 threads is 2.00 times as fast as on 1"


def test_threads_are_as_before_after_work_on_fewer():
    counts = [4]
    seen = []
    machine.on_threads(lambda: seen.append(counts[-1]), 2, lambda: counts[-1], counts.append)()
    assert seen == [2]
    assert counts == [4, 2, 4]


def test_startup_runs_a_new_process_with_its_own_cache(tmp_path):
    from tools.bench.groups import startup

    program = "import os, pathlib, sys; pathlib.Path(sys.argv[1]).write_text(os.environ['NUMBA_CACHE_DIR'])"
    startup.run_python(program, f"{tmp_path}/out", cache="somewhere")
    assert (tmp_path / "out").read_text() == "somewhere"


def test_startup_stops_the_default_job_after_its_first_update(tmp_path):
    from tools.bench.groups import startup

    stub = "from minigrad.training.loop import Trainer; Trainer.update = lambda *arguments: None\n"
    startup.run_python(stub + startup.FIRST_STEP, f"{tmp_path}/run")  # raises where there was no update to stop after
    assert (tmp_path / "run/config.json").exists()
    assert not list((tmp_path / "run/checkpoints").glob("*"))

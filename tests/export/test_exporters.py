import json
import sys
import zipfile

import numpy as np
import pytest
import safetensors.torch
import torch
from safetensors import safe_open

import tanas
from tanas.export.exporters import CHECKED_BATCHES, FORMATS, TOLERANCE, export
from tanas.ground.errors import ExportError, MissingExtraError, SettingError, StoreError
from tanas.ground.seeds import Seed
from tanas.networks.architecture import Architecture, build
from tanas.networks.cell import Cell, CellNetwork
from tanas.networks.classifier import Classifier
from tanas.networks.operations import ZERO, Zero, operation_names
from tanas.networks.skeleton import Skeleton

CLASSES = ("the rest", "moon", "crêpe, 'thin'")
SKELETON = Skeleton(widths=(3, 4), cells=(1, 1), reductions=(True, True))
ODD = (2, 9, 7)
"""Odd both ways: pooling with ceil_mode meets a row and a column that are not full."""


def classifier_of(cell, shape=ODD, skeleton=SKELETON):
    """A classifier whose every weight, running mean and running variance matters."""
    architecture = Architecture(skeleton=skeleton, cell=cell)
    network = build(architecture, shape, len(CLASSES), Seed(3))
    generator = Seed(3).child("weights").torch()
    for name, value in network.state_dict().items():
        drawn = torch.rand(value.shape, generator=generator)
        if "var" in name or "deviation" in name:
            value.copy_(0.1 + drawn)
        elif value.is_floating_point() and (value.dim() == 1 or "mean" in name):
            value.copy_(drawn - 0.4)
        elif value.dim() == 4:
            value.mul_(2)  # else an untrained network answers nearly the same to all images
    return Classifier(
        architecture=architecture,
        shape=shape,
        classes=CLASSES,
        performance="accuracy",
        task="toy",
        network=network,
    )


def groups_of_operations():
    """All operations, six at a time on the edges of a complete cell of four nodes."""
    names = [name for name in operation_names() if name != ZERO]
    names += ["identity"] * (-len(names) % 6)
    return [tuple(names[start : start + 6]) for start in range(0, len(names), 6)]


def out_for(to, folder):
    return folder / f"network.{to}"


@pytest.fixture(scope="module")
def classifier():
    return classifier_of(Cell(2, ((0, 1, "sep_conv_3x3"),)))


@pytest.fixture(scope="module")
def exported(classifier, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    return {to: export(classifier, out_for(to, folder)) for to in FORMATS}


@pytest.mark.long
class TestEveryOperation:
    @pytest.mark.parametrize("to", FORMATS)
    @pytest.mark.parametrize("names", groups_of_operations(), ids=lambda names: "+".join(names))
    def test_answers_the_same_after_its_export(self, names, to, tmp_path):
        report = export(classifier_of(Cell.complete(4, names)), out_for(to, tmp_path))
        assert report.difference < TOLERANCE / 10
        assert report.checked_batches == CHECKED_BATCHES == (1, 2, 7)

    @pytest.mark.parametrize("to", FORMATS)
    def test_may_work_on_a_single_pixel(self, to, tmp_path):
        cell = Cell.complete(3, ("max_pool_2x2", "avg_pool_3x3", "dil_conv_5x5"))
        skeleton = Skeleton(stem="half", widths=(3,), cells=(2,), reductions=(True,))
        report = export(classifier_of(cell, shape=(1, 1, 3), skeleton=skeleton), out_for(to, tmp_path))
        assert report.difference < TOLERANCE / 10

    @pytest.mark.parametrize("names", groups_of_operations(), ids=lambda names: "+".join(names))
    def test_matters_to_the_answer_so_that_a_wrong_one_is_seen(self, names):
        classifier = classifier_of(Cell.complete(4, names))
        pixels = torch.rand(3, *ODD, generator=Seed(1).torch())
        logits = classifier.network(pixels)
        operations = [
            cell.operations for cell in classifier.network.modules() if isinstance(cell, CellNetwork)
        ]
        assert operations and all(len(of_cell) for of_cell in operations)
        for of_cell in operations:
            for place, operation in enumerate(of_cell):
                of_cell[place] = Zero()
                changed = classifier.network(pixels)
                of_cell[place] = operation
                assert (changed - logits).abs().max() > 30 * TOLERANCE * logits.abs().max()


class TestExports:
    @pytest.mark.parametrize("to", FORMATS)
    def test_report_what_is_there(self, to, exported):
        report = exported[to]
        assert report.to == to
        assert report.classes == CLASSES
        assert report.bytes == report.path.stat().st_size
        assert report.tolerance == TOLERANCE

    @pytest.mark.parametrize("to", FORMATS)
    def test_say_nothing_leave_nothing_beside_them_and_the_original_as_it_was(self, to, tmp_path, capfd):
        classifier = classifier_of(Cell(2, ((0, 1, ZERO),)))
        before = {name: value.clone() for name, value in classifier.network.state_dict().items()}
        export(classifier, out_for(to, tmp_path))
        said = capfd.readouterr()
        assert (said.out, said.err) == ("", "")
        assert [path.name for path in tmp_path.iterdir()] == [out_for(to, tmp_path).name]
        after = classifier.network.state_dict()
        assert all(torch.equal(before[name], after[name]) for name in before)
        assert all(before[name].stride() == after[name].stride() for name in before)
        assert not classifier.network.training

    def test_to_safetensors_are_read_by_safetensors_and_by_tanas(self, exported, classifier):
        path = exported["safetensors"].path
        with safe_open(path, framework="numpy") as file:
            record = json.loads(file.metadata()["tanas"])
            assert set(file.keys()) == set(classifier.network.state_dict())
        assert record["classes"] == list(CLASSES)
        assert (record["task"], record["weights"]) == ("toy", None)
        loaded, pixels = tanas.load(path), np.zeros((2, *ODD), dtype=np.uint8)
        assert torch.equal(loaded(pixels), classifier(pixels))
        assert loaded.record() == classifier.record()

    def test_to_safetensors_repeat_to_the_byte(self, exported, classifier, tmp_path):
        again = export(classifier, tmp_path / "again.SAFETENSORS").path
        assert again.read_bytes() == exported["safetensors"].path.read_bytes()

    def test_to_pt2_are_read_by_torch_alone(self, exported, classifier):
        extra = {"classes.json": "", "architecture.json": ""}
        program = torch.export.load(exported["pt2"].path, extra_files=extra)
        pixels = torch.rand(3, *ODD)
        assert torch.allclose(program.module()(pixels), classifier(pixels), atol=1e-5)
        assert json.loads(extra["classes.json"]) == list(CLASSES)
        assert json.loads(extra["architecture.json"])["shape"] == list(ODD)

    def test_to_onnx_are_read_by_onnxruntime_alone(self, exported, classifier):
        onnxruntime = pytest.importorskip("onnxruntime")
        session = onnxruntime.InferenceSession(exported["onnx"].path, providers=["CPUExecutionProvider"])
        (pixels,), (logits,) = session.get_inputs(), session.get_outputs()
        assert (pixels.name, pixels.type, pixels.shape) == ("pixels", "tensor(float)", ["batch", *ODD])
        assert (logits.name, logits.shape) == ("logits", ["batch", 3])
        metadata = session.get_modelmeta().custom_metadata_map
        assert json.loads(metadata["classes"]) == list(CLASSES)
        assert json.loads(metadata["architecture"])["task"] == "toy"
        images = torch.rand(5, *ODD)
        assert np.allclose(session.run(None, {"pixels": images.numpy()})[0], classifier(images), atol=1e-5)

    def test_hold_no_paths_of_this_machine(self, exported):
        source = b"site-packages"
        assert source not in exported["onnx"].path.read_bytes()
        with zipfile.ZipFile(exported["pt2"].path) as archive:
            assert not any(source in archive.read(name) for name in archive.namelist())


class TestPlace:
    @pytest.mark.parametrize("name", ["network.bin", "network", "onnx"])
    def test_must_end_as_a_format_does(self, name, classifier, tmp_path):
        with pytest.raises(SettingError, match=r"\.onnx, \.pt2, \.safetensors"):
            export(classifier, tmp_path / name)

    @pytest.mark.parametrize("to", FORMATS)
    def test_that_is_taken_is_refused_unless_overwriting_is_allowed(self, to, classifier, tmp_path):
        out = out_for(to, tmp_path)
        out.write_text("something else")
        with pytest.raises(StoreError, match=f"network.{to} exists already"):
            export(classifier, out)
        assert out.read_text() == "something else"
        assert export(classifier, out, overwrite=True).bytes == out.stat().st_size

    def test_that_is_a_folder_is_refused_even_for_overwriting(self, classifier, tmp_path):
        (tmp_path / "folder.onnx").mkdir()
        with pytest.raises(StoreError, match=r"folder\.onnx is a folder"):
            export(classifier, tmp_path / "folder.onnx", overwrite=True)

    def test_that_cannot_be_written_to_is_refused(self, classifier, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(StoreError, match="can't be written"):
            export(classifier, tmp_path / "file" / "network.safetensors")


class TestDamage:
    """A file of an export to safetensors that is not whole, or not of tanas."""

    @pytest.fixture
    def path(self, classifier, tmp_path):
        return export(classifier, tmp_path / "network.safetensors").path

    @pytest.mark.parametrize("left", [0, 5, 40, -10])
    def test_a_file_that_was_cut_is_refused(self, left, path):
        path.write_bytes(path.read_bytes()[:left])
        with pytest.raises(StoreError, match="network.safetensors is damaged"):
            tanas.load(path)

    def test_a_file_of_another_program_is_refused(self, path):
        safetensors.torch.save_file({"weight": torch.zeros(3)}, path, {"format": "pt"})
        with pytest.raises(StoreError, match="was not written by tanas"):
            tanas.load(path)

    def test_weights_of_another_network_are_refused(self, path, classifier):
        state = classifier.network.state_dict()
        other = {name: torch.zeros(1, *value.shape) for name, value in state.items()}
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata()
        safetensors.torch.save_file(other, path, metadata)
        with pytest.raises(StoreError, match="network.safetensors don't fit its architecture"):
            tanas.load(path)

    def test_a_record_of_another_version_is_refused(self, path, classifier):
        state = {name: value.contiguous() for name, value in classifier.network.state_dict().items()}
        safetensors.torch.save_file(state, path, {"tanas": json.dumps({"schema": 9})})
        with pytest.raises(StoreError, match="network.safetensors is of schema version 9"):
            tanas.load(path)


class TestFailures:
    def test_name_the_formats_when_one_is_unknown(self, classifier, tmp_path):
        with pytest.raises(SettingError, match=r"\.onnx, \.pt2, \.safetensors.* '.*torchscript'"):
            export(classifier, tmp_path / "network.torchscript")

    def test_name_the_extra_when_a_library_is_missing(self, classifier, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "onnxruntime", None)
        with pytest.raises(MissingExtraError, match=r"'onnxruntime'.* pip install 'tanas\[onnx\]'"):
            export(classifier, tmp_path / "network.onnx")

    @pytest.mark.parametrize(
        ("to", "where"),
        [
            ("safetensors", "tanas.export.exporters._read_safetensors"),
            ("pt2", "tanas.export.exporters._read_pt2"),
            ("onnx", "tanas.export.exporters._read_onnx"),
        ],
    )
    def test_leave_nothing_when_the_export_answers_otherwise(
        self, to, where, classifier, tmp_path, monkeypatch
    ):
        other = classifier_of(Cell(2, ((0, 1, "conv_1x1"),)))
        monkeypatch.setattr(where, lambda content: (other.network, CLASSES))
        with pytest.raises(ExportError, match=f"export to {to} does not answer as the original"):
            export(classifier, out_for(to, tmp_path))
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_are_seen_when_logits_are_not_finite(self, value, tmp_path):
        classifier = classifier_of(Cell(2, ((0, 1, "conv_1x1"),)))
        with torch.no_grad():
            classifier.network.head.bias[0] = value
        with pytest.raises(ExportError, match="does not answer as the original"):
            export(classifier, tmp_path / "network.safetensors")

    def test_are_seen_when_the_classes_are_others(self, classifier, tmp_path, monkeypatch):
        monkeypatch.setattr(
            "tanas.export.exporters._read_pt2", lambda content: (classifier.network, ("a", "b", "c"))
        )
        with pytest.raises(ExportError, match=r"holds the classes \('a', 'b', 'c'\) instead of"):
            export(classifier, tmp_path / "network.pt2")

    def test_of_an_exporter_name_the_task_and_the_format(self, classifier, tmp_path, monkeypatch):
        def refuse(*args, **kwargs):
            raise NotImplementedError("no such operator")

        monkeypatch.setattr(torch.export, "export", refuse)
        with pytest.raises(ExportError, match="toy .* pt2: NotImplementedError: no such op"):
            export(classifier, tmp_path / "network.pt2")

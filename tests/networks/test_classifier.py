import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest
import safetensors.torch
import torch

from tanas.ground.errors import DataError, NonFiniteError, StoreError
from tanas.ground.seeds import Seed
from tanas.networks.architecture import Architecture, build, cost_of
from tanas.networks.cell import Cell
from tanas.networks.classifier import Classifier
from tanas.networks.skeleton import Skeleton
from tanas.networks.training import logits_of
from tanas.tasks.pictures import Framing
from tanas.tasks.task import Split

GREY, COLOUR = (1, 6, 5), (3, 6, 5)
CLASSES = ("the rest", "moon")
ARCHITECTURE = Architecture(
    skeleton=Skeleton(widths=(4, 6), cells=(1, 1), reductions=(False, True)),
    cell=Cell(3, ((0, 1, "sep_conv_3x3"), (0, 2, "identity"), (1, 2, "max_pool_2x2"))),
)


def classifier_of(shape=GREY, classes=CLASSES, framing=None):
    network = build(ARCHITECTURE, shape, len(classes), Seed(1))
    network.norm.fit(torch.rand(9, *shape, generator=Seed(2).torch()))
    return Classifier(
        architecture=ARCHITECTURE,
        shape=shape,
        classes=classes,
        performance="balanced",
        task="toy:is=moon",
        network=network,
        framing=framing,
    )


def images_of(shape, samples=7):
    return np.random.default_rng(0).integers(0, 256, (samples, *shape), dtype=np.uint8)


class TestClassifier:
    @pytest.mark.parametrize("shape", [GREY, COLOUR], ids=["grey", "colour"])
    @pytest.mark.parametrize(
        "arrange",
        [
            lambda x: x,
            lambda x: x.transpose(0, 2, 3, 1),
            lambda x: x.astype(np.float32) / np.float32(255),
            lambda x: x.astype(np.float64) / 255,
            lambda x: (x / 255).astype(">f8"),
            lambda x: torch.from_numpy(x),
            lambda x: torch.from_numpy(x).float().div(255).requires_grad_(),
            lambda x: torch.from_numpy(x).permute(0, 2, 3, 1),
            lambda x: list(x),
        ],
        ids=["nchw", "nhwc", "float32", "float64", "big-endian", "tensor", "gradient", "tensor-nhwc", "list"],
    )
    def test_answers_the_same_however_images_are_held(self, shape, arrange):
        classifier, images = classifier_of(shape), images_of(shape)
        logits = classifier(arrange(images))
        assert logits.shape == (7, 2)
        assert logits.dtype == torch.float32
        assert not logits.requires_grad
        assert torch.allclose(logits, classifier(images), atol=1e-6)

    def test_takes_grey_images_without_channels(self):
        images = images_of(GREY)
        assert torch.equal(classifier_of()(images[:, 0]), classifier_of()(images))

    @pytest.mark.parametrize("shape", [GREY, COLOUR], ids=["grey", "colour"])
    def test_takes_one_image_as_a_batch_of_one(self, shape):
        classifier, images = classifier_of(shape), images_of(shape)
        expected = classifier(images[2:3])
        assert torch.equal(classifier(images[2]), expected)
        assert torch.equal(classifier(images[2].transpose(1, 2, 0)), expected)
        if shape == GREY:
            assert torch.equal(classifier(images[2, 0]), expected)
        assert classifier.predict(images[2]) == classifier.predict(images)[2:3]

    def test_reads_half_precision_and_reversed_arrays(self):
        images = images_of(GREY)
        assert classifier_of()(torch.from_numpy(images).bfloat16().div(256)).shape == (7, 2)
        assert torch.allclose(classifier_of()(images[::-1]), classifier_of()(images).flip(0), atol=1e-6)

    def test_leaves_read_only_arrays_alone(self):
        images = images_of(GREY)
        images.setflags(write=False)
        assert classifier_of()(images).shape == (7, 2)

    def test_answers_no_images_with_no_logits(self):
        assert classifier_of()(images_of(GREY, samples=0)).shape == (0, 2)
        assert classifier_of().predict(images_of(GREY, samples=0)) == []

    def test_answers_as_in_training_on_more_images_than_a_batch(self):
        images = torch.from_numpy(images_of(GREY, samples=1001))
        index = torch.arange(1001)
        classifier = classifier_of()
        expected = logits_of(classifier.network, Split(images, index, index, index))
        assert torch.allclose(classifier(images), expected, atol=1e-6)

    def test_names_the_likeliest_class(self):
        classifier, images = classifier_of(), images_of(GREY)
        probabilities = classifier.probabilities(images)
        assert torch.allclose(probabilities.sum(dim=1), torch.ones(7))
        assert classifier.predict(images) == [CLASSES[int(row.argmax())] for row in probabilities]

    def test_is_ready_to_answer_when_its_network_was_in_training(self):
        assert not classifier_of().network.training

    @pytest.mark.parametrize(
        ("shape", "given", "message"),
        [
            (
                GREY,
                (7, 5, 6),
                r"shape \(7, 5, 6\) don't fit: this network takes grey 6x5 .* as \(n, 6, 5\) or ",
            ),
            (
                GREY,
                (7, 3, 6, 5),
                r"or \(n, 1, 6, 5\) or \(n, 6, 5, 1\), or one image without n. Convert and re",
            ),
            (
                COLOUR,
                (7, 6, 5),
                r"this network takes colour 6x5 .* as \(n, 3, 6, 5\) or \(n, 6, 5, 3\), or one",
            ),
            (COLOUR, (6, 5), r"Images of shape \(6, 5\) don't fit"),
            (GREY, (1, 7, 1, 6, 5), r"Images of shape \(1, 7, 1, 6, 5\) don't fit"),
            (GREY, (), r"Images of shape \(\) don't fit"),
        ],
    )
    def test_refuses_images_of_another_shape(self, shape, given, message):
        with pytest.raises(DataError, match=message):
            classifier_of(shape)(np.zeros(given, dtype=np.uint8))

    def test_refuses_images_whose_channels_may_be_first_or_last(self):
        with pytest.raises(
            DataError, match=r"ambiguous: channels may come first or last, because all of \(3, 3, 3\)"
        ):
            classifier_of((3, 3, 3))(np.zeros((2, 3, 3, 3), dtype=np.uint8))

    def test_sees_no_ambiguity_in_one_grey_pixel(self):
        assert classifier_of((1, 1, 1))(np.zeros((4, 1, 1), dtype=np.uint8)).shape == (4, 2)

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            (np.full(GREY, 255.0), "Got float64 from 255 to 255 instead. Divide them by"),
            (np.full(GREY, -0.1), "from -0.1 to -0.1"),
            (np.full(GREY, np.nan), "from nan to nan"),
            (np.full(GREY, np.inf), "from inf to inf"),
            (np.zeros(GREY, dtype=np.int64), r"Got int64 instead. Convert them with .astype\('uint8'\)"),
            (np.full(GREY, "x"), "must be uint8, or floats"),
        ],
    )
    def test_refuses_values_outside_their_range(self, values, message):
        with pytest.raises(DataError, match=message):
            classifier_of()(values)

    def test_refuses_images_of_several_sizes(self):
        with pytest.raises(DataError, match="The images don't form an array: they differ in shape"):
            classifier_of()([np.zeros((6, 5)), np.zeros((5, 5))])

    def test_refuses_to_answer_with_what_is_not_finite(self):
        classifier = classifier_of()
        torch.nn.init.constant_(classifier.network.head.bias, float("nan"))
        with pytest.raises(NonFiniteError, match="logits of the network of toy:is=moon are not finite"):
            classifier(images_of(GREY))


class TestFolder:
    @pytest.mark.parametrize("shape", [GREY, COLOUR], ids=["grey", "colour"])
    def test_gives_back_the_same_classifier(self, shape, tmp_path):
        classifier = classifier_of(shape, ("crêpe", "x,y", "01"), Framing(fit="pad", white=4095))
        classifier.save(tmp_path / "new" / "run")
        loaded = Classifier.load(tmp_path / "new" / "run")
        assert torch.equal(loaded(images_of(shape)), classifier(images_of(shape)))
        for name in ("architecture", "shape", "classes", "performance", "task", "framing"):
            assert getattr(loaded, name) == getattr(classifier, name)
        exported = Classifier.from_bytes(classifier.to_bytes(), where=tmp_path / "a.safetensors")
        assert exported.framing == classifier.framing

    def test_that_knows_no_framing_is_read(self, tmp_path):
        classifier_of().save(tmp_path)
        path = tmp_path / "architecture.json"
        record = json.loads(path.read_text())
        assert record.pop("framing") is None
        path.write_text(json.dumps(record))
        assert Classifier.load(tmp_path).framing is None

    def test_is_readable(self, tmp_path):
        classifier_of().save(tmp_path)
        record = json.loads((tmp_path / "architecture.json").read_text())
        cost = cost_of(ARCHITECTURE, GREY, 2)
        assert record["schema"] == 1
        assert record["classes"] == list(CLASSES)
        assert record["architecture"]["skeleton"]["widths"] == [4, 6]
        assert (record["parameters"], record["macs"]) == (cost.parameters, cost.macs)
        assert record["reads"] == "float32 pixels in [0, 1], (batch, 1, 6, 5), not normalised"
        content = (tmp_path / "weights.safetensors").read_bytes()
        assert record["weights"]["sha256"] == hashlib.sha256(content).hexdigest()

    def test_holds_equal_bytes_when_written_by_another_process(self, tmp_path):
        classifier_of().save(tmp_path / "one")
        code = (
            "import sys, pathlib; from tanas.networks.classifier import Classifier; "
            "Classifier.load(pathlib.Path(sys.argv[1])).save(pathlib.Path(sys.argv[2]))"
        )
        subprocess.run([sys.executable, "-c", code, tmp_path / "one", tmp_path / "two"], check=True)
        for name in ("architecture.json", "weights.safetensors"):
            assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()

    def test_keeps_other_files(self, tmp_path):
        (tmp_path / "result.json").write_text("{}")
        classifier_of().save(tmp_path)
        assert sorted(path.name for path in tmp_path.iterdir()) == [
            "architecture.json",
            "result.json",
            "weights.safetensors",
        ]

    @pytest.mark.parametrize("folder", ["none", "empty"])
    def test_without_a_network_is_refused(self, folder, tmp_path):
        (tmp_path / "empty").mkdir()
        with pytest.raises(StoreError, match=f"{folder} holds no network: it has no architecture.json. Name"):
            Classifier.load(tmp_path / folder)

    def test_without_weights_is_refused(self, tmp_path):
        classifier_of().save(tmp_path)
        (tmp_path / "weights.safetensors").unlink()
        with pytest.raises(StoreError, match=r"has no weights: there is no file .*weights\.safetensors"):
            Classifier.load(tmp_path)

    @pytest.mark.parametrize("damage", ["truncated", "flipped"])
    def test_with_damaged_weights_is_refused(self, damage, tmp_path):
        classifier_of().save(tmp_path)
        path = tmp_path / "weights.safetensors"
        content = bytearray(path.read_bytes())
        if damage == "truncated":
            del content[-4:]
        else:
            content[-1] ^= 1
        path.write_bytes(content)
        with pytest.raises(StoreError, match="weights.safetensors is damaged, or belongs to another network"):
            Classifier.load(tmp_path)

    def test_with_a_file_that_is_no_safetensors_is_refused(self, tmp_path):
        classifier_of().save(tmp_path)
        replace_weights(tmp_path, b"no weights")
        with pytest.raises(StoreError, match="or not a safetensors file"):
            Classifier.load(tmp_path)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda w: w | {"head.bias": torch.zeros(5)}, r"expected \(2,\) for 'head.bias', found \(5,\)"),
            (lambda w: w | {"extra": torch.zeros(1)}, r"expected nothing for 'extra', found \(1,\)"),
            (lambda w: {"head.bias": w["head.bias"]}, r"expected \(2, 6\) for 'head.weight', found nothing"),
        ],
        ids=["shape", "extra", "missing"],
    )
    def test_with_weights_that_do_not_fit_is_refused(self, change, message, tmp_path):
        classifier_of().save(tmp_path)
        weights = safetensors.torch.load_file(tmp_path / "weights.safetensors")
        replace_weights(tmp_path, safetensors.torch.save(change(weights)))
        with pytest.raises(StoreError, match=f"don't fit its architecture: {message}"):
            Classifier.load(tmp_path)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"schema": 99}, "is of schema version 99; this tanas reads version 1. Read it with"),
            ({"schema": None}, "is of schema version None"),
            ({"classes": 3}, "is not a ClassifierRecord: classes"),
            ({"shape": [0, 6, 5]}, "is not a ClassifierRecord: .*The 'shape' and 'classes'"),
            ({"framing": {"fit": "stretch", "white": 255}}, "'fit' of Framing .* 'stretch'"),
            ({"performance": "luck"}, "must be one of balanced, accuracy. Got 'luck'"),
            ({"weights": None}, "names no file of weights beside it"),
            (
                {"weights": {"file": "../weights.safetensors", "sha256": ""}},
                "names no file of weights beside it",
            ),
            (
                {"architecture": {"cell": {"nodes": 2, "edges": [[0, 1, "own_conv"]]}}},
                "Unknown operation 'own_conv'. .* call register_operation before you load the network",
            ),
            (
                {"architecture": {"cell": {"nodes": 2, "edges": [[1, 0, "identity"]]}}},
                "must go from a lower to",
            ),
        ],
    )
    def test_with_another_record_is_refused(self, changes, message, tmp_path):
        classifier_of().save(tmp_path)
        path = tmp_path / "architecture.json"
        record = json.loads(path.read_text())
        if "architecture" in changes:
            changes = {"architecture": record["architecture"] | changes["architecture"]}
        path.write_text(json.dumps(record | changes))
        with pytest.raises(StoreError, match=message):
            Classifier.load(tmp_path)

    @pytest.mark.parametrize("text", ["", "[]", "{", "\x00"])
    def test_with_a_damaged_record_is_refused(self, text, tmp_path):
        classifier_of().save(tmp_path)
        (tmp_path / "architecture.json").write_text(text)
        with pytest.raises(StoreError, match="architecture.json (can't be read|is of schema version None)"):
            Classifier.load(tmp_path)

    def test_that_cannot_be_written_to_is_refused(self, tmp_path):
        (tmp_path / "weights.safetensors").mkdir()
        with pytest.raises(StoreError, match="weights.safetensors can't be written"):
            classifier_of().save(tmp_path)


def replace_weights(folder, content):
    """Other weights whose hash the record knows."""
    (folder / "weights.safetensors").write_bytes(content)
    path = folder / "architecture.json"
    record = json.loads(path.read_text())
    record["weights"]["sha256"] = hashlib.sha256(content).hexdigest()
    path.write_text(json.dumps(record))

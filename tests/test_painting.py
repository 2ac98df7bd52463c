"""A painting steps, is steered, stopped, saved and taken up, and its pictures never meet."""

import math
from unittest import mock

import pytest
import torch

from tests.toys import ToyPerceptor, toy_models
from vqclip_nb import Settings, paint
from vqclip_nb.errors import NotANumber, SettingsError
from vqclip_nb.painting import run
from vqclip_nb.rng import Draws
from vqclip_nb.session import build_painting
from vqclip_nb.timeline import Edit

pytestmark = pytest.mark.usefixtures("toys")


@pytest.fixture
def toys():
    with toy_models():
        yield


def settings(**more):
    return Settings(
        **{"prompt": "red | blue:-0.2", "size": (32, 32), "steps": 6, "cutn": 4, "device": "cpu", "every": 1, **more}
    )


def test_three_lines_give_every_picture_as_it_comes():
    frames = list(paint(settings(smoothness=0)))
    assert [frame.step for frame in frames] == [1, 2, 3, 4, 5, 6]
    assert all(frame.image.shape == (1, 3, 32, 32) for frame in frames)
    assert set(frames[0].losses) == {"red", "blue"}
    assert math.isfinite(frames[0].loss)


def test_only_frames_that_are_kept_or_looked_at_carry_a_picture_of_their_own():
    painting = build_painting(settings(every=3))
    frames = [painting.step(look=step == 2) for step in range(1, 7)]
    assert [frame.image is not None for frame in frames] == [True, True, True, False, False, True]
    assert [frame.kept for frame in frames] == [True, False, True, False, False, True]
    assert not torch.equal(frames[0].image, frames[-1].image)


@pytest.mark.parametrize("average", [0.0, 0.9])
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_the_same_settings_paint_the_same_pixels(optimizer, average):
    run_settings = settings(optimizer=optimizer, average=average, smoothness=1.0, init_weight=0.5)
    one, again = ([frame.image for frame in paint(run_settings)] for _ in range(2))
    assert all(torch.equal(*pair) for pair in zip(one, again, strict=True))


@pytest.mark.parametrize("canvas", ["vqgan/demo", "pixels", "fourier", "siren"])
@pytest.mark.parametrize("cutouts", ["pooling", "crops"])
def test_picture_k_of_a_batch_is_the_one_that_seed_plus_k_paints(canvas, cutouts):
    """The same losses within 1e-5, and gradients of cosine 0.99999, from the same state and draws."""
    run_settings = settings(canvas=canvas, cutouts=cutouts, seed=5, variations=3, init_weight=0.1, smoothness=0.1)
    batch, alone = build_painting(run_settings), build_painting(run_settings.replace(seed=6, variations=1))
    torch.testing.assert_close(batch.picture()[1:2], alone.picture())

    def judged(painting):
        image = painting.canvas()
        draws = Draws(painting.settings.seeds, step=3)
        losses = [loss for term in painting.terms for loss in term(image, draws, 0.5).values()]
        torch.stack(losses).sum().backward()
        return torch.stack(losses), painting.canvas.learnable()[0].grad

    (losses, grads), (loss, grad) = judged(batch), judged(alone)
    torch.testing.assert_close(losses[:, 1:2], loss, rtol=1e-5, atol=1e-7)
    assert torch.cosine_similarity(grads[1].flatten(), grad[0].flatten(), dim=0) > 0.99999


def test_a_change_is_heard_at_the_next_step_and_stamped():
    painting = build_painting(settings(prompt="red", steps=80, smoothness=0))
    for _ in range(30):
        painting.step()
    painting.apply(Edit({"prompt": "blue", "lr": 0.2, "cutn": 6}))
    *_, last = run(painting)
    assert last.losses.keys() == {"blue"}
    assert last.image.mean((0, 2, 3)).argmax() == 2
    assert [(change.step, change.settings["prompt"]) for change in painting.timeline] == [(30, "blue")]


@pytest.mark.parametrize("change", [{"size": (64, 64)}, {"canvas": "vqgan"}, {"nonsense": 1}, {"lr": -1}])
def test_a_change_that_cannot_be_is_refused_and_changes_nothing(change):
    painting = build_painting(settings())
    with pytest.raises(SettingsError):
        painting.apply(Edit(change))
    assert painting.settings == settings()
    assert painting.timeline == []


def test_a_painting_taken_up_goes_on_with_the_same_pixels():
    run_settings = settings(steps=8, average=0.8, variations=2, init_weight=0.3)

    def halfway():
        painting = build_painting(run_settings)
        for _ in range(3):
            painting.step()
        painting.apply(Edit({"prompt": "green"}))
        painting.step()
        return painting

    first = halfway()
    state = first.state_dict()
    *_, expected = run(first)
    other = build_painting(run_settings)
    other.load_state_dict(state)
    *_, resumed = run(other)
    assert torch.equal(expected.image, resumed.image)
    assert other.timeline == first.timeline


def test_not_a_number_stops_the_run_and_leaves_the_last_good_picture():
    class Failing(ToyPerceptor):
        def encode_image(self, batch):
            embeddings = super().encode_image(batch)
            return embeddings * (math.nan if painting.step_count == 3 else 1)

    painting = build_painting(settings(variations=2))
    painting.terms[0].objective.perceptor = Failing()
    frames = [painting.step() for _ in range(3)]
    before = painting.picture()
    with pytest.raises(NotANumber, match=r"^step 4: red, blue is not a number; a smaller lr"):
        painting.step()
    assert len(frames) == 3
    assert torch.equal(painting.picture(), before)


def test_the_average_is_the_debiased_one():
    painting = build_painting(settings(canvas="pixels", average=0.5))
    seen = []
    for _ in range(3):
        painting.step()
        seen.append(painting.canvas.pixels.detach().clone())
    weights = [0.125, 0.25, 0.5]
    expected = sum(w * p for w, p in zip(weights, seen, strict=True)) / sum(weights)
    torch.testing.assert_close(painting.picture(), expected.clamp(0, 1))
    torch.testing.assert_close(painting.canvas.pixels.detach(), seen[-1], atol=0, rtol=0)


def test_a_frame_shows_the_average_of_the_pictures_judged_and_the_last_one_the_result():
    painting = build_painting(settings(canvas="pixels", average=0.5, steps=4))
    judged, frames = [], []
    for _ in range(4):
        judged.append(painting.canvas.pixels.detach().clone())
        frames.append(painting.step(look=True))
    expected = (0.125 * judged[0] + 0.25 * judged[1] + 0.5 * judged[2]) / 0.875
    torch.testing.assert_close(frames[0].image, judged[0])
    torch.testing.assert_close(frames[2].image, expected)
    assert torch.equal(frames[3].image, painting.picture())


@pytest.mark.parametrize(("average", "renders"), [(0.0, 5), (0.9, 6)])
def test_watching_every_step_renders_no_more_often_but_for_the_result(average, renders):
    painting = build_painting(settings(average=average))
    painting.step()  # before the first one its precision may be tried
    with mock.patch.object(painting.canvas, "forward", side_effect=painting.canvas.forward) as rendered:
        assert all(frame.image is not None for frame in run(painting, look=True))
    assert rendered.call_count == renders


@pytest.mark.parametrize(
    ("tidy", "suits", "at"), [(None, 0, []), (None, 2, [2, 4, 6, 6]), (3, 2, [3, 6, 6]), (0, 2, [])]
)
def test_a_picture_is_tidied_as_often_as_asked_or_as_suits_the_canvas_and_as_the_result(tidy, suits, at):
    painting, seen = build_painting(settings(tidy=tidy)), []
    painting.canvas.vqgan.tidy_every = suits
    with mock.patch.object(painting.canvas, "tidy", side_effect=lambda: seen.append(painting.step_count)):
        for _ in run(painting):
            pass
    assert seen == at


def test_a_picture_that_is_not_a_number_stays_out_of_the_average_shown():
    painting = build_painting(settings(canvas="pixels", variations=2))
    painting.step()
    before = painting.averages.image.clone()
    wrong, judged = torch.full_like(before, math.nan), torch.tensor([False, True])
    painting.averages.take(painting.learnable, wrong, judged, painting.settings.average, 2)
    assert torch.equal(painting.averages.image[0], before[0])
    assert painting.averages.image[1].isnan().all()


def test_likeness_holds_the_picture_to_its_start():
    apart = {}
    for weight in (0.0, 200.0):
        painting = build_painting(settings(canvas="pixels", init_weight=weight, steps=20))
        for _ in run(painting):
            pass
        apart[weight] = painting.canvas.drift().item()
    assert apart[200.0] < apart[0.0] / 2


def test_a_start_image_and_an_image_prompt_are_painted_from_and_towards(tmp_path):
    from PIL import Image

    Image.new("RGB", (50, 40), "blue").save(tmp_path / "blue.png")
    Image.new("RGB", (30, 90), "red").save(tmp_path / "red.png")
    run_settings = settings(
        prompt="",
        init_image=str(tmp_path / "blue.png"),
        image_prompts=(f"{tmp_path / 'red.png'}:2",),
        steps=60,
        smoothness=0,
    )
    first, *_, last = paint(run_settings)
    assert first.image.mean((0, 2, 3)).argmax() == 2
    assert last.image.mean((0, 2, 3)).argmax() == 0
    assert first.losses.keys() == {"picture 1"}, "never a path"


def test_several_perceptors_each_pull():
    first, *_ = paint(settings(prompt="red", perceptor="a + b", steps=2, smoothness=0))
    assert first.losses.keys() == {"a: red", "b: red"}
    alone, *_ = paint(settings(prompt="red", steps=2, smoothness=0))
    assert first.loss == pytest.approx(2 * alone.loss, rel=0.5)


def test_perceptors_of_one_name_share_its_cutouts_and_pull_to_a_text_together():
    bench = [ToyPerceptor(), ToyPerceptor()]
    bench[1].name = "toy-2"
    with mock.patch("vqclip_nb.perceptors.load", side_effect=lambda name: bench):
        painting = build_painting(settings(prompt="red", cutn=5, smoothness=0))
    guides = [term.objective for term in painting.terms]
    assert [guide.cutouts.cutn for guide in guides] == [3, 2]
    image, draws = painting.canvas().detach(), Draws(painting.settings.seeds, 0, painting.device)
    each = [float(guide(image, draws, 0.0)["red"]) for guide in guides]
    assert each[0] != each[1], "draws of their own"
    assert painting.step().losses["red"].item() == pytest.approx(sum(each))


def test_accumulated_judgements_step_by_the_mean_of_their_gradients():
    """One step of Adam, as Deep Daze and Big Sleep take it: each judgement has cutouts of its own."""
    run_settings = settings(canvas="pixels", accumulate=3, average=0.0, smoothness=0.1)
    painting, plain = build_painting(run_settings), build_painting(run_settings)
    frame = painting.step(look=True)
    pixels, losses, draws = plain.canvas.pixels, [], Draws(run_settings.seeds, 0)
    for each in (draws, draws.of("judgement 2"), draws.of("judgement 3")):
        loss = torch.stack([loss for term in plain.terms for loss in term(plain.canvas(), each, 0.0).values()]).sum()
        (loss / 3).backward()
        losses.append(loss.detach())
    assert len({float(loss) for loss in losses}) == 3
    assert frame.loss == pytest.approx(float(torch.stack(losses).mean()))
    torch.optim.Adam([pixels], lr=0.03).step()
    torch.testing.assert_close(painting.canvas.pixels, pixels.detach().clamp(0, 1))


def test_the_best_picture_of_each_variation_is_kept():
    painting = build_painting(settings(canvas="pixels", lr=0.5, keep="best", average=0.0, variations=3, steps=12))
    frames = [painting.step(look=True) for _ in range(11)]
    totals = torch.stack([torch.stack(list(frame.losses.values())).sum(0) for frame in frames])  # (steps, n)
    best = totals.argmin(0)
    assert (best < 10).any(), "the last is not the best of all"
    expected = torch.stack([frames[step].image[n] for n, step in enumerate(best.tolist())])
    assert torch.equal(painting.picture(), expected)
    last = painting.step()
    assert torch.equal(last.image, painting.picture()), "the result"


def test_the_step_size_falls_on_a_plateau_as_torch_s_does():
    """For each picture by its own loss, with torch's scheduler as the measure."""
    from vqclip_nb.lowest_loss import LowestLoss

    run_settings = settings(plateau=3, plateau_factor=0.4)
    totals = torch.tensor([[5.0, 4, 4, 4, 4, 4, 4, 4, 3, 3, 3, 3, 3], [1, 2, 2, 2, 0, 0, 9, 9, 9, -1, -1, -1, -1]]).T
    lowest, theirs = LowestLoss(2, torch.device("cpu")), []
    for _ in range(2):
        optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.1)
        plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.4, patience=2, threshold=0)
        theirs.append((optimizer, plateau))
    for total in totals:
        lowest.see(total, torch.zeros(2, 3, 4, 4), run_settings)
        for (_, plateau), loss in zip(theirs, total, strict=True):
            plateau.step(float(loss))
        expected = torch.tensor([optimizer.param_groups[0]["lr"] for optimizer, _ in theirs])
        torch.testing.assert_close(lowest.lr(0.1, run_settings), expected)
    assert lowest.drops.tolist() == [3, 3]


def test_after_a_drop_a_step_is_shorter_for_that_picture_alone():
    run_settings = settings(canvas="pixels", optimizer="sgd", variations=2, plateau=3, plateau_factor=0.25, average=0.0)
    slow, plain = build_painting(run_settings), build_painting(run_settings.replace(plateau=0))
    slow.lowest.drops = torch.tensor([0.0, 1.0])
    before = plain.canvas.pixels.detach().clone()
    slow.step(), plain.step()
    moved, whole = slow.canvas.pixels.detach() - before, plain.canvas.pixels.detach() - before
    torch.testing.assert_close(moved[0], whole[0])
    torch.testing.assert_close(moved[1], whole[1] / 4, rtol=1e-3, atol=1e-7)


def test_a_perceptor_of_weight_0_watches_and_keeps_the_best():
    class Watching(ToyPerceptor):
        """Calls red what is blue."""

        name = "watching"

        def encode_text(self, texts):
            return super().encode_text(["blue" for _ in texts])

    run_settings = settings(
        prompt="red", canvas="pixels", perceptor="demo + other:0", average=0.0, keep="best", smoothness=0
    )
    kinds = {"demo": ToyPerceptor, "other": Watching}
    with mock.patch("vqclip_nb.perceptors.load", side_effect=lambda name: [kinds[name]()]):
        painting = build_painting(run_settings)
    plain = build_painting(run_settings.replace(perceptor="demo", keep="last"))
    frames = [painting.step(look=True) for _ in range(5)]
    unwatched = [plain.step(look=True) for _ in range(5)]
    for watched, alone in zip(frames, unwatched, strict=True):
        assert torch.equal(watched.image, alone.image), "it has no part in the painting"
        assert watched.loss == alone.loss
        assert watched.scores.keys() == {"other: red"}
    scores = [float(frame.scores["other: red"]) for frame in frames]
    best, lowest = min(range(5), key=scores.__getitem__), min(range(5), key=lambda step: frames[step].loss)
    assert best < lowest, "what it calls red is soon left behind"
    assert torch.equal(painting.picture(), frames[best].image)

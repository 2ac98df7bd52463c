"""BigGAN-deep is read from its published form, draws by the published formulas, and is painted as Big Sleep did."""

import math

import pytest
import torch
from torch.nn import functional as F

from vqclip_nb.canvases.biggan import BigGANOptions
from vqclip_nb.canvases.biggan.canvas import BigGANCanvas, abnormality, largest
from vqclip_nb.models import biggan, info
from vqclip_nb.models.errors import BrokenWeights

TINY = {
    **{"output_dim": 16, "z_dim": 8, "class_embed_dim": 8, "channel_width": 8, "num_classes": 20},
    **{"attention_layer_position": 1, "eps": 1e-4, "n_stats": 51},
    "layers": [[False, 4, 4], [True, 4, 2], [True, 2, 1]],
}


def published_shapes(table):
    """The keys and shapes of the published state dict, from its description alone."""
    width, cond = table["channel_width"], table["z_dim"] + table["class_embed_dim"]
    shapes = {"embeddings.weight": (table["class_embed_dim"], table["num_classes"])}

    def spectral(name, *shape, bias=True):
        rows, columns = shape[0], math.prod(shape[1:])
        shapes.update({f"{name}.weight_orig": shape, f"{name}.weight_u": (rows,), f"{name}.weight_v": (columns,)})
        shapes.update({f"{name}.bias": (rows,)} if bias else {})

    def norm(name, channels):
        shapes.update({f"{name}.{each}": (table["n_stats"], channels) for each in ("running_means", "running_vars")})

    spectral("generator.gen_z", 16 * table["layers"][0][1] * width, cond)
    at = 0
    for index, (_, before, after) in enumerate(table["layers"]):
        before, after = before * width, after * width
        if index == table["attention_layer_position"]:
            name = f"generator.layers.{at}"
            shapes[f"{name}.gamma"] = (1,)
            for part, rows in (("theta", before // 8), ("phi", before // 8), ("g", before // 2)):
                spectral(f"{name}.snconv1x1_{part}", rows, before, 1, 1, bias=False)
            spectral(f"{name}.snconv1x1_o_conv", before, before // 2, 1, 1, bias=False)
            at += 1
        middle = before // 4
        for k, (into, out, kernel) in enumerate(
            ((before, middle, 1), (middle, middle, 3), (middle, middle, 3), (middle, after, 1))
        ):
            norm(f"generator.layers.{at}.bn_{k}", into)
            for part in ("scale", "offset"):
                spectral(f"generator.layers.{at}.bn_{k}.{part}", into, cond, bias=False)
            spectral(f"generator.layers.{at}.conv_{k}", out, into, kernel, kernel)
        at += 1
    norm("generator.bn", after)
    shapes.update({"generator.bn.weight": (after,), "generator.bn.bias": (after,)})
    spectral("generator.conv_to_rgb", after, after, 3, 3)
    return shapes


def stand_in(table, seed=0):
    """A state dict of that form, random."""
    draw, state = torch.Generator().manual_seed(seed), {}
    for key, shape in published_shapes(table).items():
        value = torch.randn(shape, generator=draw)
        state[key] = value.abs() + 0.5 if key.endswith("running_vars") else value * 0.3
    for key in [key for key in state if key.endswith("weight_orig")]:
        matrix, u = state[key].flatten(1), key.removesuffix("orig") + "u"
        for _ in range(20):  # the power iteration that training made
            state[u.removesuffix("u") + "v"] = v = F.normalize(matrix.T @ state[u], dim=0)
            state[u] = F.normalize(matrix @ v, dim=0)
    return state


def published_picture(state, table, z, hot, truncation=1.0):
    """One picture by the published formulas: the state dict, z (latents, z_dim), hot (latents, classes)."""
    part, row = math.modf(truncation / 0.02)
    row, eps = int(row), table["eps"]

    def weight(name):
        w, u, v = (state[f"{name}.weight_{each}"] for each in ("orig", "u", "v"))
        return w / (u @ (w.reshape(len(w), -1) @ v))

    def normed(name, x):
        means, variances = state[f"{name}.running_means"], state[f"{name}.running_vars"]
        mean, variance = (
            each[row] if part == 0 else each[row] * part + each[row + 1] * (1 - part) for each in (means, variances)
        )
        return (x - mean[None, :, None, None]) / torch.sqrt(variance[None, :, None, None] + eps)

    def conv(name, x, **more):
        return F.conv2d(x, weight(name), state.get(f"{name}.bias"), **more)

    cond = torch.cat([z, hot @ state["embeddings.weight"].T], 1)
    x = F.linear(cond[:1], weight("generator.gen_z"), state["generator.gen_z.bias"])
    x = x.reshape(-1, 4, 4, table["layers"][0][1] * table["channel_width"]).permute(0, 3, 1, 2)
    at = 0
    for index, (up, before, after) in enumerate(table["layers"]):
        name = f"generator.layers.{at}"
        if index == table["attention_layer_position"]:
            theta = conv(f"{name}.snconv1x1_theta", x).flatten(2)
            phi = F.max_pool2d(conv(f"{name}.snconv1x1_phi", x), 2).flatten(2)
            attention = torch.softmax(torch.bmm(theta.permute(0, 2, 1), phi), -1)
            g = F.max_pool2d(conv(f"{name}.snconv1x1_g", x), 2).flatten(2)
            o = torch.bmm(g, attention.permute(0, 2, 1)).reshape(1, -1, *x.shape[2:])
            x = x + state[f"{name}.gamma"] * conv(f"{name}.snconv1x1_o_conv", o)
            at += 1
            name = f"generator.layers.{at}"
        skip, c = x, cond[index + 1 : index + 2]
        for k in range(4):
            scale = 1 + F.linear(c, weight(f"{name}.bn_{k}.scale"))
            offset = F.linear(c, weight(f"{name}.bn_{k}.offset"))
            x = torch.relu(normed(f"{name}.bn_{k}", x) * scale[..., None, None] + offset[..., None, None])
            if k == 1 and up:
                x = F.interpolate(x, scale_factor=2)
            x = conv(f"{name}.conv_{k}", x, padding=1 if k in (1, 2) else 0)
        if before != after:
            skip = skip[:, : skip.shape[1] // 2]
        x = x + (F.interpolate(skip, scale_factor=2) if up else skip)
        at += 1
    x = normed("generator.bn", x) * state["generator.bn.weight"][:, None, None]
    x = torch.relu(x + state["generator.bn.bias"][:, None, None])
    return torch.tanh(conv("generator.conv_to_rgb", x, padding=1)[:, :3])


def tiny(seed=0):
    return biggan.build(biggan.BigGANConfig.read(TINY), stand_in(TINY, seed))


@pytest.mark.parametrize(("size", "keys", "floats"), [("128", 506, 52.687), ("256", 602, 58.573), ("512", 698, 58.909)])
def test_full_size_files_of_the_published_form_are_read(size, keys, floats):
    table = info(size, "biggan").config
    shapes = published_shapes(table)
    assert len(shapes) == keys
    assert sum(math.prod(shape) for shape in shapes.values()) / 1e6 == pytest.approx(floats, abs=5e-4)
    model = biggan.build(biggan.BigGANConfig.read(table), {key: torch.ones(shape) for key, shape in shapes.items()})
    assert model.latents == {"128": 11, "256": 13, "512": 15}[size]
    assert model.side == int(size)
    assert model.unexpected == 0


@pytest.mark.parametrize("truncation", [1.0, 0.58, 0.5, 0.45, 0.02])
def test_a_picture_is_drawn_by_the_published_formulas(truncation):
    model, draw = tiny(), torch.Generator().manual_seed(1)
    z, hot = torch.randn(2, 4, 8, generator=draw), torch.rand(2, 4, 20, generator=draw)
    model.choose_statistics(truncation)
    ours = model.decode(model.condition(z, hot))
    for k in range(2):
        theirs = published_picture(stand_in(TINY), TINY, z[k], hot[k], truncation)
        torch.testing.assert_close(ours[k : k + 1], theirs, atol=1e-5, rtol=1e-4)
        assert 0.1 < theirs.abs().mean() < 0.9


def test_statistics_of_a_truncation():
    assert biggan.statistics_at(1.0, 51) == (50, 1.0, 0.0)
    row, this, after = biggan.statistics_at(0.58, 51)
    assert row == 28
    assert this == pytest.approx(1, abs=1e-4)
    row, this, after = biggan.statistics_at(0.58, 51, "plain")
    assert row + after == pytest.approx(29)
    assert biggan.statistics_at(0.45, 51, "plain")[1:] == pytest.approx(biggan.statistics_at(0.45, 51)[1:][::-1])


def test_files_that_are_not_a_biggan_are_refused():
    state = stand_in(TINY)
    config = biggan.BigGANConfig.read(TINY)
    with pytest.raises(BrokenWeights, match="weight_u"):
        biggan.build(config, {key: value for key, value in state.items() if not key.endswith("gen_z.weight_u")})
    with pytest.raises(BrokenWeights, match="missing"):
        biggan.build(config, {key: value for key, value in state.items() if not key.endswith("gamma")})
    with pytest.raises(BrokenWeights, match="not a BigGAN"):
        biggan.BigGANConfig.read({"output_dim": 8})


def test_the_canvas_paints_and_saves_memory():
    one, other = (BigGANCanvas(tiny(), size=(16, 16), seeds=(0, 1)) for _ in range(2))
    assert one().shape == (2, 3, 16, 16)
    assert one.z.shape == (2, 4, 8)
    assert one.logits.mean().item() == pytest.approx(-3.9, abs=0.1)
    assert other.save_memory()
    for canvas in (one, other):
        canvas().square().sum().backward()
    torch.testing.assert_close(one.z.grad, other.z.grad)
    assert one.logits.grad[1].abs().sum() > 0


def test_penalties_are_big_sleeps():
    canvas = BigGANCanvas(tiny(), size=(16, 16), seeds=(3,), options=BigGANOptions(penalty=1))
    canvas.z.data.mul_(1.3)
    z, hot = canvas.z[0], torch.sigmoid(canvas.logits[0])
    loss = (1 - torch.std(z, dim=1)).abs().mean() + z.mean(dim=1).abs().mean()
    loss = loss + 4 * torch.max(z.square().mean(), torch.tensor(1.0))
    for row in z:
        away = row - row.mean()
        score = away / away.square().mean().sqrt()
        loss = loss + ((score**4).mean() - 3).abs() / len(z) + (score**3).mean().abs() / len(z)
    lowest = hot.sort(dim=1).values[:, :-1]
    losses = canvas.penalties(0.0)
    torch.testing.assert_close(losses["latents"][0], loss)
    torch.testing.assert_close(losses["classes"][0], ((50 * lowest) ** 2).mean())
    assert BigGANCanvas(tiny(), size=(16, 16), seeds=(3,), options=BigGANOptions(penalty=0)).penalties(0) == {}
    assert abnormality(torch.randn(2, 3, 512)).shape == (2,)


def test_few_classes_are_chosen_one_softmax_after_another():
    logits = torch.tensor([[1.0, 3.0, 2.0, -1.0]])
    first = (logits / 2).softmax(-1)[0, 1]
    rest = torch.tensor([1.0, 2.0, -1.0]) / 2
    expected = torch.tensor([[0, first, rest.softmax(0)[1], 0]])
    torch.testing.assert_close(largest(logits, 2, 2.0), expected)
    canvas = BigGANCanvas(tiny(), size=(16, 16), seeds=(0,), options=BigGANOptions(max_classes=3))
    assert ((canvas.classes() > 0).sum(-1) == 3).all()

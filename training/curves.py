"""curves.png: how a run went, drawn anew at each validation."""

from pathlib import Path

from data.io import replacing
from training.terms import TERMS

# panel -> (columns, unit, logarithmic, validation: drawn dashed)
PANELS = {
    "generator's terms, weighted": (tuple(f"weighted_{term}" for term in TERMS), "loss", True, False),
    "validation": (("val_psnr_db",), "PSNR in dB", False, True),
    "discriminator": (("d_accuracy", "d_accuracy_running"), "share right", False, False),
    "validation, structure and reading": (("val_ssim", "val_char_acc"), "SSIM, share of characters", False, True),
    "learning rates": (("g_learning_rate", "d_learning_rate"), "per step", True, False),
    "gradient at the last layer": (tuple(f"gradient_{term}" for term in TERMS), "norm", True, False),
}


def draw_curves(rows: list[dict], stage_offsets: dict[str, int], path: Path) -> None:
    """Draw the rows of log.csv. stage_offsets: stage -> steps before its first, so that both share one axis."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(3, 2, figsize=(12, 10), layout="constrained")
    for axis, (title, (columns, unit, logarithmic, dashed)) in zip(axes.flat, PANELS.items(), strict=True):
        drawn = False
        for column in columns:
            points = [
                (stage_offsets[row["stage"]] + row["step"], row[column]) for row in rows if row.get(column) is not None
            ]
            drawn |= any(value > 0 for _, value in points)
            if points:
                axis.plot(*zip(*points, strict=True), linestyle="--" if dashed else "-", marker=".", ms=3, label=column)
        if stage_offsets["adversarial"] and axis.lines:
            axis.axvline(stage_offsets["adversarial"], color="grey", linewidth=0.8)
        axis.set(title=title, xlabel="step", ylabel=unit, yscale="log" if logarithmic and drawn else "linear")
        if axis.get_legend_handles_labels()[0]:
            axis.legend(fontsize="small")
        else:
            axis.text(0.5, 0.5, "nothing yet", ha="center", va="center", transform=axis.transAxes)
    with replacing(path) as file:
        figure.savefig(file, dpi=100, format="png")
    pyplot.close(figure)

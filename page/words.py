"""What is known about a result, as HTML: warnings, readings character by character, figures. All text is escaped."""

from collections.abc import Sequence
from html import escape

from enhancing.burst import Burst
from enhancing.examining import Agreement, Result, agree
from reading.reader import Reading

HINT = "A restored plate is a hint, not evidence."
NOTHING = "nothing"
NO_PLATE = "no plate found: press on its four corners in the picture, or give a picture of the plate alone"
# a character that any variant reads otherwise, which the command prints as a question mark
UNSURE_BELOW = 1.0


def problem(message: str) -> str:
    return _box("problem", message)


def note(message: str) -> str:
    return f'<p class="note">{escape(message)}</p>'


def findings(result: Result) -> str:
    """Of one enhanced picture."""
    rows = [
        ("Read before", _reading(result.reading_before)),
        ("Read after", _reading(result.reading)),
        ("Agreed", _agreement(result.agreement)),
    ]
    facts = _facts(result.fit.consistency, result.effective_width)
    return _warnings(result.warnings) + _table(rows) + _legend() + _qualities(result) + facts


def burst_findings(results: Sequence[Result], burst: Burst) -> str:
    """Of several frames of one plate."""
    confidence = f' <span class="faint">confidence {burst.vote.confidence:.2f}</span>'
    rows = [
        ("Elected", f"<b>{escape(burst.vote.text or NOTHING)}</b>{confidence}"),
        ("Agreed", _agreement(burst.agreement)),
    ]
    header = "<tr><th>frame</th><th>read alone</th><th>confidence</th><th>weight</th><th>shift</th></tr>"
    body = "".join(
        f"<tr><td>{number}</td><td>{escape(result.reading.text or NOTHING)}</td>"
        f"<td>{result.reading.confidence:.2f}</td>"
        f"<td>{_weight(frame.weight)}</td><td>{frame.shift[0]:+.1f}, {frame.shift[1]:+.1f} px</td></tr>"
        for number, (result, frame) in enumerate(zip(results, burst.frames, strict=True), start=1)
    )
    frames = f'<div class="scroll"><table class="figures">{header}{body}</table></div>'
    return (
        _warnings(burst.warnings)
        + _table(rows)
        + _legend("frames")
        + frames
        + _facts(burst.consistency, burst.effective_width)
    )


def against_truth(result: Result, truth: str) -> str:
    """Of a picture that was damaged on purpose: which characters are right."""
    rows = [("True text", f"<b>{escape(truth)}</b>")]
    for name, reading in (("Read before", result.reading_before), ("Read after", result.reading)):
        compared = agree(reading.text, [truth])
        right = f' <span class="faint">{sum(map(round, compared.shares))} right of {len(agree(truth, []).text)}</span>'
        rows.append((name, _characters(compared, "right", "wrong") + right))
    rows.append(("Agreed", _agreement(result.agreement)))
    facts = _facts(result.fit.consistency, result.effective_width)
    return _warnings(result.warnings) + _table(rows) + facts


def _warnings(warnings: Sequence[str]) -> str:
    return "".join(_box("warning", warning) for warning in warnings) + f'<p class="hint">{HINT}</p>'


def _box(kind: str, message: str) -> str:
    return f'<div class="{kind}" role="alert">{escape(message[:1].upper() + message[1:])}</div>'


def _reading(reading: Reading) -> str:
    return f'{escape(reading.text or NOTHING)} <span class="faint">confidence {reading.confidence:.2f}</span>'


def _agreement(agreement: Agreement) -> str:
    mean = f'<div class="faint">average agreement {agreement.mean:.0%}</div>' if agreement.text else ""
    return _characters(agreement, "sure", "unsure", with_share=True) + mean


def _characters(agreement: Agreement, good: str, bad: str, with_share: bool = False) -> str:
    """A box for each character, told apart by more than colour."""
    boxes = ""
    for char, share in zip(agreement.text, agreement.shares, strict=True):
        kind = good if share >= UNSURE_BELOW else bad
        below = f"<small>{share:.0%}</small>" if with_share else ""
        boxes += f'<span class="char {kind}" title="{kind}"><b>{escape(char)}</b>{below}</span>'
    return f'<span class="chars">{boxes}</span>' if boxes else NOTHING


def _legend(asked: str = "variants") -> str:
    what = {
        "variants": "The reader was also asked about shifted, brighter and darker copies, and about the other "
        "generator's result if there is one. Below each character: the share of answers that agree on it.",
        "frames": "Below each character: the share of frames that agree on it.",
    }[asked]
    return f'<p class="faint">{what} A dashed box marks a character on which they differ.</p>'


def _qualities(result: Result) -> str:
    rows = "".join(
        f"<tr><td>{name}</td><td>{getattr(result.before, name):.2f}</td><td>{getattr(result.after, name):.2f}</td></tr>"
        for name in ("brightness", "contrast", "sharpness")
    )
    header = "<tr><th></th><th>before</th><th>after</th></tr>"
    return f'<table class="figures">{header}{rows}</table>'


def _facts(consistency: float, effective_width: float) -> str:
    return (
        f'<p class="faint">Consistency {consistency:.2f}: the share of the picture that the result explains. '
        f"Effective width {effective_width:.0f} px: the number of pixels that carry detail, blur counted.</p>"
    )


def _weight(weight: float) -> str:
    return f"{weight:.0%}" if weight else "left out"


def _table(rows: Sequence[tuple[str, str]]) -> str:
    """Names are plain text, contents are HTML."""
    body = "".join(f"<dt>{escape(name)}</dt><dd>{content}</dd>" for name, content in rows)
    return f'<dl class="findings">{body}</dl>'

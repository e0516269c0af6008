"""Safety: what may never happen, whatever the incident."""

from __future__ import annotations

from blackstart.drills.checks.check import Finding, Rule, some
from blackstart.drills.evidence import Evidence


def _took_effect(evidence: Evidence) -> Finding:
    injected = evidence.journal.of("fault.injected")
    if not injected:
        return Finding("the fault was never injected", False)
    modified = injected[-1].details["modified"]
    observed = f"MongoDB changed {modified} deploys, {len(evidence.hit)} are damaged"
    if "peer-signoff" in evidence.safeguards:
        return Finding(f"{observed}, {_whose_word(evidence)}", False)
    return Finding(observed, modified > 0 and modified == len(evidence.hit))


def _whose_word(evidence: Evidence) -> str:
    for entry in evidence.journal.of("request.said"):
        if entry.details["word"] == "approved":
            return f"as approved by {entry.details['login']}"
    return "and nobody approved it"


def _expected_effect(evidence: Evidence) -> str:
    if "peer-signoff" in evidence.safeguards:
        return "the write is held, and a second engineer who reads the preview stops it"
    return "MongoDB changed documents, and exactly those are damaged"


def _right_bytes(evidence: Evidence) -> Finding:
    """Every page ever served, and every page of every site and new deploy at the end."""
    judged = 0
    wrong = []
    for visit in evidence.journal.of("visit"):
        if visit.details["status"] == 200:
            judged += 1
            if visit.details["blob"] not in evidence.right_blobs(visit):
                wrong.append(visit.subject)
    for page in [*evidence.oracle.site_pages, *evidence.oracle.deploy_pages]:
        judged += 1
        if page.status == 200:
            if page.blob != evidence.truth(page.deploy_id, page.path):
                wrong.append(page.site + page.path)
        elif page.deploy_id not in evidence.missing:
            wrong.append(f"{page.site}{page.path} ({page.status})")
    observed = f"{judged - len(wrong)} of {judged} pages right"
    observed += f", wrong: {some(wrong)}" if wrong else ""
    return Finding(observed, not wrong if judged else None)


def _no_older_over_newer(evidence: Evidence) -> Finding:
    """Going back is a revert, made on purpose past a damaged deploy; anything else is wrong."""
    published = evidence.journal.of("site.published")
    shown = {
        key: str(raw["published_deploy_id"]) for key, raw in evidence.oracle.morning.sites.items()
    }
    wrong = []
    for entry in evidence.journal.of("site.published", "site.reverted"):
        old, new = shown[entry.subject], entry.details["deploy"]
        back = evidence.numbers[new] < evidence.numbers[old]
        if back and not (entry.action == "site.reverted" and evidence.damaged(old, entry.offset_s)):
            wrong.append(f"{entry.subject}: {new} over {old}")
        shown[entry.subject] = new
    final = {
        key: str(raw["published_deploy_id"]) for key, raw in evidence.oracle.final.sites.items()
    }
    wrong += [f"{key}: {final[key]} behind our back" for key in final if final[key] != shown[key]]
    observed = f"{len(published)} publishes, {len(wrong)} out of order"
    return Finding(observed + (f": {some(wrong)}" if wrong else ""), not wrong)


FAULT = Rule("fault-took-effect", "The fault took effect", _expected_effect, _took_effect)

RIGHT_BYTES = Rule(
    "right-bytes",
    "No wrong byte is ever served",
    lambda _: "every page has the bytes of the commit its site showed",
    _right_bytes,
)

NO_OLDER_OVER_NEWER = Rule(
    "publish-order",
    "No older deploy over a newer one",
    lambda _: "a site only goes back when it is reverted past a damaged deploy",
    _no_older_over_newer,
)

RULES = (FAULT, RIGHT_BYTES, NO_OLDER_OVER_NEWER)

"""February 2, 2017: what happened, and what people did and when.

Source: the learning review of that day. Offsets count from 09:17 PST. Where
the review gives an order but no time (API before web UI, first look at the
damage), the time is ours and the step says so.
"""

from __future__ import annotations

from datetime import UTC, datetime

from blackstart.drills.faults.overwrite_metadata import OverwriteMetadata
from blackstart.drills.incidents.incident import Incident, Milestone, Step
from blackstart.drills.reviewer import careful
from blackstart.drills.world.traffic import Rates
from blackstart.model import Plan
from blackstart.safeguards import Safeguards

MINUTE = 60.0
HOUR = 3_600.0

SCRIPT_PUSH_S = 63 * MINUTE
FIX_S = 128 * MINUTE
SNAPSHOT_READABLE_S = 193 * MINUTE
RESTORE_SCRIPT_S = 268 * MINUTE
ALL_RESTORED_S = 358 * MINUTE
END_S = 389 * MINUTE

# With one of these safeguards nobody waits for the restore; the script takes as long to write.
TRAIL_ASKED_S = 1 * MINUTE
LOG_READ_S = 4 * MINUTE
MOUNTED_S = 5 * MINUTE
TREES_SCANNED_S = 10 * MINUTE
SCRIPT_WRITTEN_S = RESTORE_SCRIPT_S - SNAPSHOT_READABLE_S

# The review gives the order of these, not the time.
API_FIXED_S = 95 * MINUTE
PAGES_FIXED_S = 115 * MINUTE


def runbook(safeguards: Safeguards) -> tuple[Step, ...]:
    """What people do, and when; safeguards change what they can do and how early."""
    sources = _sources(safeguards)
    readable_s = min(step.offset_s for step in sources)
    script_s = readable_s + SCRIPT_WRITTEN_S
    last_s = max(step.offset_s for step in sources)
    paying_most = (Plan.ENTERPRISE, Plan.GLOBAL)
    return (
        *_cause(safeguards),
        Step(
            2 * MINUTE,
            "lead",
            "work out which deploys and sites are affected",
            lambda team: team.work_out_what_is_affected(),
        ),
        Step(
            3 * MINUTE,
            "builds",
            "start rebuilds, customers with SLAs first",
            lambda team: team.rebuild(*paying_most),
        ),
        Step(
            10 * MINUTE,
            "builds",
            "go on with rebuilds of what is reported down",
            lambda team: team.rebuild_reported(SCRIPT_PUSH_S),
        ),
        Step(
            4 * MINUTE,
            "lead",
            "push single stuck deploys through by hand, customers with SLAs first",
            lambda team: team.push_by_hand(SCRIPT_PUSH_S, *paying_most),
        ),
        Step(
            SCRIPT_PUSH_S,
            "push-script",
            "push every stuck deploy through by an emergency script",
            lambda team: team.push_by_script(),
        ),
        Step(
            API_FIXED_S,
            "api",
            "put a fix of the API's serialization live",
            lambda team: team.release("api", "tolerant-api"),
        ),
        Step(
            PAGES_FIXED_S,
            "api",
            "put the same fix of the web UI live",
            lambda team: team.release("pages", "tolerant-api"),
        ),
        Step(
            FIX_S,
            "builds",
            "put a fix of the background processors live",
            lambda team: team.release("background", "tolerant-publish", "verified-uploads"),
        ),
        *sources,
        Step(
            readable_s + 1.0,
            "backup",
            "repair deploys by hand, sites reported down first",
            lambda team: team.repair_by_hand(script_s),
        ),
        Step(
            script_s,
            "restore-script",
            "restore every damaged deploy that can be read",
            lambda team: team.restore_by_script(),
        ),
        *_second_script(script_s, last_s),
        Step(
            ALL_RESTORED_S,
            "revert-script",
            "revert the sites that are neither restored nor rebuilt",
            lambda team: team.revert_the_rest(),
        ),
        Step(
            END_S,
            "lead",
            "list the sites with files that never arrived",
            lambda team: team.list_missing_files(),
        ),
    )


def _cause(safeguards: Safeguards) -> tuple[Step, ...]:
    """Who asks a record that there is knows at once; in 2017 there was none."""
    if "audit-trail" not in safeguards:
        return ()
    ask = Step(
        TRAIL_ASKED_S,
        "lead",
        "ask the audit trail which write it was",
        lambda team: team.ask_the_trail(),
    )
    return (ask,)


def _sources(safeguards: Safeguards) -> tuple[Step, ...]:
    """Where lost metadata can be read, and from when on."""
    mounted = "snapshot-mount" in safeguards
    steps = [
        Step(
            MOUNTED_S if mounted else SNAPSHOT_READABLE_S,
            "backup",
            "open the newest snapshot",
            lambda team: team.open_snapshot(),
        )
    ]
    if "pointer-log" in safeguards:
        steps.append(
            Step(
                LOG_READ_S,
                "backup",
                "read the log of pointers",
                lambda team: team.read_pointer_log(),
            )
        )
    if "self-describing-trees" in safeguards:
        steps.append(
            Step(
                TREES_SCANNED_S,
                "backup",
                "look through the bucket for trees that say whose they are",
                lambda team: team.scan_trees(),
            )
        )
    return tuple(steps)


def _second_script(script_s: float, last_s: float) -> tuple[Step, ...]:
    """Once more when another source can be read only after the script's first run."""
    if last_s <= script_s:
        return ()
    again = Step(
        last_s + MINUTE,
        "restore-script",
        "restore what can be read only now",
        lambda team: team.restore_by_script(),
    )
    return (again,)


def rates(sites: int) -> Rates:
    """Visits per second: each site's share is the same in a fleet of any size."""
    close_up = max(6.0, sites / 40)
    return Rates(
        (
            (-90 * MINUTE, sites * 4 / (90 * MINUTE)),
            (-20.0, close_up),
            (2 * MINUTE, sites * 6 / (387 * MINUTE)),
        )
    )


MILESTONES = (
    Milestone(0.0, "alerts for failed origin requests"),
    Milestone(SCRIPT_PUSH_S, "emergency scripts push stuck deploys through"),
    Milestone(FIX_S, "background processors fixed, builds go through"),
    Milestone(SNAPSHOT_READABLE_S, "deploy metadata readable from the snapshot"),
    Milestone(RESTORE_SCRIPT_S, "a script restores any site"),
    Milestone(ALL_RESTORED_S, "all affected deploys in the backup restored"),
    Milestone(END_S, "every affected deploy dealt with"),
)

FEB2 = Incident(
    name="feb2",
    title="February 2, 2017: a migration overwrites the metadata of 5.2 % of all deploys",
    fault_time=datetime(2017, 2, 2, 17, 17, tzinfo=UTC),
    morning_s=-5.5 * HOUR,
    end_s=END_S + MINUTE,
    snapshot_s=-(5 * HOUR + 17 * MINUTE),
    fault=OverwriteMetadata(),
    review=careful,
    rates=rates,
    runbook=runbook,
    milestones=MILESTONES,
)

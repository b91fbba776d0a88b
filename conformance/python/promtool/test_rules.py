"""Prometheus's own checker reads the alert rules; each of them fires when it should."""

import os
import pathlib
import subprocess

RULES = pathlib.Path(__file__).parents[3] / "docs" / "examples" / "tramline.rules.yml"
PROMTOOL = os.environ["TRAMLINE_PROMTOOL"]

# Every alert, with series that make it fire after half an hour, and none that do not.
FIRING = {
    "TramlineDiskFull": {"tramline_store_full": "1x120"},
    "TramlineDiskNearlyFull": {
        "tramline_store_disk_free_bytes": "5x120",
        "tramline_store_disk_total_bytes": "100x120",
    },
    "TramlineDataDamaged": {"tramline_store_damaged_ranges": "1x120"},
    "TramlineBacklogGrows": {'tramline_queue_ready_messages{queue="q"}': "2000+10x120"},
    "TramlineQueueOld": {
        'tramline_queue_oldest_age_seconds{queue="q"}': "700x120",
        'tramline_queue_ready_messages{queue="q"}': "1x120",
    },
    "TramlineDeadLetters": {'tramline_queue_dead_lettered_messages_total{queue="q"}': "0+1x120"},
    "TramlineSlowReceivers": {'tramline_channel_dropped_messages_total{prefix="p"}': "0+1x120"},
    "TramlineJobsNotTracked": {"tramline_jobs_refused_total": "0+1x120"},
    "TramlineGroupBehind": {
        'tramline_group_lag_seconds{group="g",topic="t",partition="0"}': "400x120"
    },
}


def promtool(*arguments):
    done = subprocess.run([PROMTOOL, *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_rules_are_rules():
    n_rules = RULES.read_text().count("- alert:")
    assert f"SUCCESS: {n_rules} rules found" in promtool("check", "rules", str(RULES))


def test_alerts_fire_for_what_they_are_for(tmp_path):
    tests = []
    for alert, series in FIRING.items():
        inputs = "".join(
            f"      - series: '{name}'\n        values: '{values}'\n" for name, values in series.items()
        )
        tests.append(
            f"  - interval: 1m\n    input_series:\n{inputs}    promql_expr_test:\n"
            f"      - expr: count(ALERTS{{alertname=\"{alert}\", alertstate=\"firing\"}})\n"
            f"        eval_time: 40m\n        exp_samples:\n"
            f"          - labels: '{{}}'\n            value: 1\n"
        )
    file = tmp_path / "tests.yml"
    file.write_text(f"rule_files: [{RULES}]\nevaluation_interval: 1m\ntests:\n{''.join(tests)}")
    promtool("test", "rules", str(file))

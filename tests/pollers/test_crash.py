"""kill -9 in the middle of a stream: at most the batch that was under way comes again, and nothing is lost."""

import itertools
import json
import random
import subprocess
import sys
from pathlib import Path

COUNT = 40


def test_kill_repeats_only_the_batch_under_way(tmp_path):
    dice, runs = random.Random(5), []
    while not runs or COUNT - 1 not in runs[-1][-1]:
        command = [sys.executable, str(Path(__file__).with_name("crash_node.py")), str(tmp_path / "data"), str(COUNT)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as node:
            batches = [json.loads(node.stdout.readline())]
            for _ in range(dice.randint(1, 4)):
                if COUNT - 1 in batches[-1]:
                    break
                node.stdin.write("\n")  # the last batch is answered
                node.stdin.flush()
                batches.append(json.loads(node.stdout.readline()))
            runs.append(batches)
            node.kill()  # the last one never is
    assert len(runs) > 2
    assert {n for batches in runs for batch in batches for n in batch} == set(range(COUNT))
    for before, after in itertools.pairwise(runs):
        assert after[0][0] == before[-1][0], "what was under way comes again, and nothing before it"

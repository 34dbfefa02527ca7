"""The run's numbers beside the recorded ones and the paper's."""

from magicoder_repro.stage import Stage

REPORT = Stage("report", "tables, figures and the comparison with the reference numbers", "report.build:build", 2)

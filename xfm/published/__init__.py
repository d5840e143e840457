"""The authors' checkpoint: imported as a run, exported from one."""

"""MultiPL-E in six languages: samples -> verdicts, in the sandbox, with the toolchains of this machine or of `docker/multipl-e`."""

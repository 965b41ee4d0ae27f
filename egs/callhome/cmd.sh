# shellcheck shell=bash
# How jobs are run. To be sourced in the recipe's folder.
#
# Without Kaldi that is local/run_jobs.sh, on this machine; with Kaldi, its run.pl. On a
# cluster, name Kaldi's queue.pl (GridEngine) or slurm.pl here or in the environment,
# with the options that yours needs (conf/queue.conf, conf/slurm.conf):
#
#   export train_cmd="slurm.pl --mem 4G" decode_cmd="slurm.pl --mem 4G"
#
# train_cmd runs features, x-vectors and tuning, decode_cmd runs diarization.

if [ -n "${KALDI_ROOT:-}" ]; then
  default_cmd=run.pl
else
  default_cmd=local/run_jobs.sh
fi
export train_cmd=${train_cmd:-$default_cmd}
export decode_cmd=${decode_cmd:-$default_cmd}

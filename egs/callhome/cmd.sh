# shellcheck shell=bash
# How jobs are run. To be sourced in the recipe's folder.
#
# That is local/run_jobs.sh, on this machine. On a cluster, name Kaldi's queue.pl
# (GridEngine) or slurm.pl here or in the environment, with the options that yours needs
# (conf/queue.conf, conf/slurm.conf):
#
#   export train_cmd="slurm.pl --mem 4G" decode_cmd="slurm.pl --mem 4G"
#
# They are found on the path, and need no compiled Kaldi.
#
# train_cmd runs extraction and tuning, decode_cmd runs diarization.

export train_cmd=${train_cmd:-local/run_jobs.sh}
export decode_cmd=${decode_cmd:-local/run_jobs.sh}

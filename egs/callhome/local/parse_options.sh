#!/usr/bin/env bash
# Sets a script's variables from its command line, to the contract of Kaldi's script of
# the same name. To be sourced, after the defaults have been set:
#
#   # Begin configuration section.
#   nj=4
#   resume=false
#   # End configuration section.
#   help_message="Usage: $0 [options] <in-dir> ..."
#   . local/parse_options.sh
#
# --foo-bar x    sets foo_bar to x, if the script has such a variable; else it is an error
# --foo-bar=x    is an error
# --resume yes   is an error where resume was true or false
# --config FILE  reads FILE, lines of foo_bar=x in the shell's syntax; what the command
#                line says wins, wherever --config stands in it
# --help, -h     prints $help_message and ends the script
#
# Options end where the first argument is that does not start with "--" (or is empty).
# They are taken away; "$@" holds what is left. Every error ends the script (status 1).

po_fail() {
  echo "$0: $*" >&2
  exit 1
}

# Turns --foo-bar into foo_bar, in po_name.
po_find() {
  po_name=${1#--}
  po_name=${po_name//-/_}
  [[ $po_name =~ ^[A-Za-z_][A-Za-z0-9_]*$ && -n ${!po_name+set} ]] \
    || po_fail "unknown option $1; see $0 --help"
}

po_check_boolean() { # what it is called, its value before, its value now
  if [[ $2 == true || $2 == false ]] && [[ $3 != true && $3 != false ]]; then
    po_fail "$1 takes true or false, found \"$3\""
  fi
}

po_read_config() {
  local file=$1 name
  local -A before=()
  [[ -f $file && -r $file ]] || po_fail "no such config file: $file"
  while read -r name; do
    [[ -n ${!name+set} ]] || po_fail "$file: unknown option $name; see $0 --help"
    before[$name]=${!name}
  done < <(sed -n 's/^[[:space:]]*\([A-Za-z_][A-Za-z0-9_]*\)=.*/\1/p' "$file")
  # shellcheck source=/dev/null
  case $file in
    */*) . "$file" ;;
    *) . "./$file" ;; # not one from the PATH
  esac
  for name in "${!before[@]}"; do
    po_check_boolean "$file: $name" "${before[$name]}" "${!name}"
  done
}

# Config files come first. Only options are looked through, two words each: a --config
# further on may be meant for a program that the script calls.
po_at=1
while ((po_at < $#)) && [[ ${!po_at} == --* && ${!po_at} != --help ]]; do
  if [[ ${!po_at} == --config ]]; then
    po_at=$((po_at + 1))
    po_read_config "${!po_at}"
    po_at=$((po_at + 1))
  else
    po_at=$((po_at + 2))
  fi
done

while [[ $# -gt 0 ]]; do
  case $1 in
    --help | -h)
      printf '%s\n' "${help_message:-$0: there is no help; read the script}"
      exit 0
      ;;
    --*=*) po_fail "write \"${1%%=*} ${1#*=}\" for \"$1\": no = in options of scripts" ;;
    --config)
      [[ $# -ge 2 ]] || po_fail "--config needs a value"
      shift 2
      ;;
    --?*)
      po_find "$1"
      [[ $# -ge 2 ]] || po_fail "$1 needs a value"
      po_check_boolean "$1" "${!po_name}" "$2"
      printf -v "$po_name" %s "$2"
      shift 2
      ;;
    *) break ;;
  esac
done

# An unset variable in a calling script (--cmd "$trian_cmd") would make jobs vanish.
if [[ -n ${cmd+set} && -z $cmd ]]; then
  po_fail "--cmd is empty; is its variable set in cmd.sh?"
fi
unset -v po_at po_name
unset -f po_fail po_find po_check_boolean po_read_config

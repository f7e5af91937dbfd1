#!/usr/bin/env bash
# Installs what the tests use besides npm packages, where it is missing and Debian's packages can be installed. Without one of
# them its tests are left out, and say so.
set -uo pipefail

wanted=(
  'git git'
  'pg_dump postgresql'
  'pdflatex texlive-latex-base lmodern'
  'promtool prometheus'
  'chromium chromium'
  'python3 python3'
)

packages=()
for line in "${wanted[@]}"; do
  read -r program needs <<<"$line"
  command -v "$program" >/dev/null || packages+=($needs)
done
[ ${#packages[@]} -eq 0 ] && exit 0

if ! command -v apt-get >/dev/null || [ "$(id -u)" -ne 0 ]; then
  echo "missing for some tests: ${packages[*]} (names of Debian packages); as root: apt-get install ${packages[*]}"
  exit 0
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq && apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null ||
  echo "could not install ${packages[*]}: the tests that need them are left out"

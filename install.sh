#!/bin/sh
# Install Islet from a medium, on a box without a network.
#
#   sh install.sh [options] MEDIUM
#
#   MEDIUM            the folder that holds SHA256SUMS
#   --prefix DIR      where the software goes            (default /opt/islet)
#   --state DIR       where data and runs are kept       (default /var/lib/islet; later, where they are)
#   --anchor SHA256   the root's SHA-256 from the anchor sheet (spaces allowed); without it you are
#                     shown the root's SHA-256 and asked to compare. Needed for the first install only.
#   --accept WHAT     install although the release is WHAT: expired, or older than one that was here; may be
#                     given twice, and needs --reason TEXT; both go into the audit log
#   --sums SHA256     only this very bundle: the SHA-256 of its SHA256SUMS (what `islet install` showed)
#   --check           verify everything and look at this box; change nothing
#
# Copy this file and the newest root.N to the box first and compare both with the anchor sheet:
#   sha256sum install.sh root.1
#
# Nothing on the medium is run or unpacked before it was verified, in this order: roots, signatures,
# grammar of the list, RELEASE, exactly the listed files, every hash, the form of the runtime. What is
# used afterwards is the copy that was hashed, never the medium again; volumes are read once, by the
# verified appliance.
# Every refusal is three lines (what, why, next) and an exit code: 2 usage, 3 untrusted, 4 damaged,
# 5 this box is not ready, 7 a step failed. `appliance/bundle/verify.py` is the second judge; both
# answer alike.
#
# Needs sh, openssl, tar, gzip and the usual small tools; no Python. Works under dash, bash, busybox.

# bash takes functions from its environment, and they come before programs: an "openssl" that says yes to
# everything. With POSIXLY_CORRECT it finds its own `unset` first, whatever else is called so.
POSIXLY_CORRECT=1
unset -f unset set trap exit return shift eval exec export readonly break continue
unset -f '[' 2>/dev/null || : # no name of a function in ksh
unset -f cd command echo false kill printf pwd read test true umask wait
unset -f awk cat cmp cut date df find grep gzip head id ls mkdir mktemp od openssl rm sed sort sync tail tar tr uniq wc

set -eu

refuse() { # CODE WHAT WHY NEXT
    printf 'islet: %s\nwhy: %s\nnext: %s\n' "$2" "$3" "$4" >&2
    said=1
    exit "$1"
}
untrusted() { refuse 3 "$1" "$2" "Do not install it. Call the sender and read these lines out."; }
damaged() { refuse 4 "$1" "$2" "Copy the bundle again, or this one file, and start again."; }
malformed() { untrusted "$1 is not written as it must be." "$2"; }
missing() { damaged "$1 is missing." "the bundle is not whole without it"; }
usage() { refuse 2 "$1" "the command is not as it must be" "sh install.sh [--prefix DIR] [--state DIR] [--anchor SHA256] [--accept expired|older --reason TEXT] [--check] MEDIUM"; }
say() { printf '%s\n' "$*"; }

shown() { printf '%s' "$1" | tr -c 'A-Za-z0-9._-' '?'; }
sha256_of() { # FILE; nothing, where it cannot be read
    hashed=$(openssl dgst -sha256 -r "$1") || hashed=
    printf '%s' "${hashed%% *}"
}
first16() { rest=${1#????????????????}; printf '%s' "${1%"$rest"}"; }
is_before() { # whether date $1 is earlier than date $2; both like 2026-11-21T08:00:00Z
    digits "$1"; earlier=$number_of_date
    digits "$2"
    [ "$earlier" -lt "$number_of_date" ]
}
digits() { # DATE: sets $number_of_date
    IFS=-T:Z
    # shellcheck disable=SC2086  # its six numbers are wanted apart
    set -- $1
    unset IFS
    number_of_date=$1$2$3$4$5$6
}

# --- the medium ---------------------------------------------------------------------------------

check_plain() { # NAME
    if [ -L "$medium/$1" ] || [ ! -f "$medium/$1" ]; then
        untrusted "$(shown "$1") is not a plain file." "a bundle holds plain files only"
    fi
}

take() { # NAME CAP: copy a control file of at most CAP bytes into quarantine
    if [ ! -e "$medium/$1" ] && [ ! -L "$medium/$1" ]; then missing "$1"; fi
    check_plain "$1"
    log=$({ head -c "$(($2 + 1))" <"$medium/$1" >"$quarantine/$1"; } 2>&1) || copy_failed "$1" "$log"
    if [ "$(wc -c <"$quarantine/$1")" -gt "$2" ]; then malformed "$1" "it is longer than $2 bytes"; fi
}

copy_failed() { # NAME LOG
    cat 2>/dev/null <"$medium/$1" >/dev/null || unreadable "$1"
    disk_fault "$2"
    refuse 5 "$1 could not be copied to ${quarantine%/*}." "${2:-the disk is full}" \
        "Free space there, or give --prefix on another disk; then start again."
}
unreadable() { damaged "$1 cannot be read." "the medium does not give its bytes"; }

take_listed() { # NAME: copy a listed file into quarantine; what counts is the hash of the copy
    if [ ! -e "$medium/$1" ] && [ ! -L "$medium/$1" ]; then missing "$1"; fi
    check_plain "$1"
    # The copy is hashed, not the stream: a disk that fills up under `tee` gives a right hash and a short copy.
    # Not by cp, which gives up on a file that another replaces as it begins: only the bytes count, and the hash tells.
    log=$({ cat <"$medium/$1" >"$quarantine/$1"; } 2>&1) || copy_failed "$1" "$log"
    check_hash "$1" "$quarantine/$1"
}

check_hash() { # NAME FILE
    found=$(sha256_of "$2" 2>/dev/null)
    [ -n "$found" ] || unreadable "$1"
    [ "$found" = "$(listed_hash "$1")" ] || damaged "$1 is damaged." "its SHA-256 is not the one that was signed"
}

listed_hash() { awk -v name="$1" '$2 == name { print $1 }' "$quarantine/SHA256SUMS"; }
is_listed() { # NAME; $listed has the names, one a line
    case $newline$listed$newline in *"$newline$1$newline"*) return 0 ;; *) return 1 ;; esac
}
newline='
'
beside_volumes() { printf '%s\n' "$listed" | grep -Evx "$volume_grammar"; }
volume_grammar='payload\.[0-9]{3}\.tar'

# --- grammar of the control files ---------------------------------------------------------------

check_text() { # NAME FILE: printable ASCII lines, the last one ended
    [ "$(tr -d '\n -~' <"$2" | wc -c)" -eq 0 ] || malformed "$1" "it holds something other than plain text"
    if [ ! -s "$2" ] || [ -n "$(tail -c 1 "$2")" ]; then malformed "$1" "its last line is cut off"; fi
}

check_fields() { # NAME FILE 'KEY: GRAMMAR'...: its first lines are these, in this order
    checked=$1
    grep -n '' "$2" | head -n $(($# - 2)) >"$work/lines"
    shift 2
    at=0
    for field in "$@"; do at=$((at + 1)); printf '%s:%s\n' "$at" "$field"; done >"$work/grammar"
    bad=$(grep -Evxf "$work/grammar" "$work/lines" | head -n 1 | cut -d: -f1)
    if [ -z "$bad" ] && [ "$(wc -l <"$work/lines")" -lt $# ]; then bad=$(($(wc -l <"$work/lines") + 1)); fi
    if [ -z "$bad" ]; then return 0; fi
    shift $((bad - 1))
    malformed "$checked" "line $bad must be a valid '${1%%: *}: ...'"
}

date_grammar='[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z'
# 91 bytes of P-256 SubjectPublicKeyInfo always start with the same 27 bytes (RFC 5480); the last digit has four
# bits that no byte uses, and they are 0 (RFC 4648, 3.5), so that a key has one spelling.
key_grammar='key (root|release) MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE[A-Za-z0-9+/]{85}[AQgw]=='
most_keys=100

parse_root() { # NAME FILE: writes its key ids, thresholds and expiry under $work, the keys as KEYID.pem
    check_text "$1" "$2"
    check_fields "$1" "$2" 'format: islet-root-1' 'version: [1-9][0-9]{0,3}' "expires: $date_grammar" \
        'root-threshold: [1-9]' 'release-threshold: [1-9]'
    {
        read -r key value && read -r key root_version
        for what in expires root-threshold release-threshold; do
            read -r key value
            printf '%s\n' "$value" >"$work/$1.$what"
        done
    } <"$2"
    [ "$1" = "root.$root_version" ] || malformed "$1" "its version is not the one in its name"
    bad=$(sed -n '6,$p' "$2" | grep -nEvx "$key_grammar" | head -n 1 | cut -d: -f1)
    [ -z "$bad" ] || malformed "$1" "line $((bad + 5)) must be a valid 'key root ...' or 'key release ...'"
    [ "$(wc -l <"$2")" -le $((5 + most_keys)) ] || malformed "$1" "it has more than $most_keys keys"
    for role in root release; do
        : >"$work/$1.$role"
        sed -n "s/^key $role //p" "$2" >"$work/keys"
        while read -r base64; do
            printf '%s' "$base64" | openssl base64 -d -A >"$work/key.der"
            keyid=$(first16 "$(sha256_of "$work/key.der")")
            if ! log=$(openssl pkey -pubin -inform DER -in "$work/key.der" -out "$work/$keyid.pem" 2>&1) || [ ! -s "$work/$keyid.pem" ]; then
                rm -f "$work/$keyid.pem"
                # A point that is not on the curve leaves no key, and no signature verifies without one.
                if openssl pkey -pubin -inform DER -in "$work/key.der" -noout 2>/dev/null; then
                    disk_fault "$log"
                    refuse 5 "$prefix could not be written." "a key could not be kept there" "Free space there, then start again."
                fi
            fi
            printf '%s\n' "$keyid" >>"$work/$1.$role"
        done <"$work/keys"
    done
    [ -z "$(cat "$work/$1.root" "$work/$1.release" | sort | uniq -d)" ] || malformed "$1" "a key stands in it twice"
    for role in root release; do
        read -r needed <"$work/$1.$role-threshold"
        [ "$(wc -l <"$work/$1.$role")" -ge "$needed" ] ||
            malformed "$1" "a threshold is higher than the number of keys"
    done
}

# --- 1. roots -----------------------------------------------------------------------------------

check_roots() { # sets $root (name of the newest), $now
    versions=$(for file in "$medium"/root.*; do printf '%s\n' "${file##*/}"; done | grep -Ex 'root\.[1-9][0-9]{0,3}' | cut -c6- | sort -n || true)
    for version in $versions; do take "root.$version" "$small_bytes"; done
    believed=
    if [ -f "$prefix/trust/root" ]; then
        believed=$(sed -n 's/^version: //p' "$prefix/trust/root")
        parse_root "root.$believed" "$prefix/trust/root"
        if [ -f "$quarantine/root.$believed" ] && ! cmp -s "$quarantine/root.$believed" "$prefix/trust/root"; then
            untrusted "root.$believed is not the one this site believes." "its bytes differ"
        fi
    else
        [ -n "$versions" ] || missing root.1
        for version in $versions; do :; done
        check_anchor "root.$version"
    fi
    check_chain
    root=root.$newest
    read -r good_until <"$work/$root.expires"
    if is_before "$good_until" "$now"; then untrusted "$root has expired." "it was good until $good_until"; fi
}

check_anchor() { # NAME of the newest root
    found=$(sha256_of "$quarantine/$1")
    if [ -z "$anchor" ]; then ask_anchor "$1" "$found"; fi
    [ "$found" = "$anchor" ] || untrusted "$1 is not the one on the anchor sheet." "its SHA-256 is another"
}

ask_anchor() { # NAME SHA256
    [ -t 0 ] || usage "The first install needs --anchor, the SHA-256 of $1 from the anchor sheet."
    say "The anchor sheet must show this SHA-256 of $1:"
    say "    $(printf '%s' "$2" | sed 's/......../& /g')"
    printf 'Two people compare it with the sheet, which came by another road than this medium.\nIs it the same? Type "same" to go on: '
    read -r answer || answer=
    if [ "$answer" = same ]; then anchor=$2 how='shown and confirmed at the terminal'; fi
}

check_chain() { # every root on the medium follows the one before and is signed by both; sets $newest
    previous=
    for version in $versions; do
        if [ -n "$previous" ] && [ "$version" -ne $((previous + 1)) ]; then
            untrusted "root.$version does not follow root.$previous." "a root between is missing"
        fi
        if [ -z "$previous" ] && [ -n "$believed" ] && [ "$version" -gt $((believed + 1)) ]; then
            untrusted "root.$version does not follow root.$believed." "a root between is missing"
        fi
        previous=$version
    done
    for version in $versions; do
        # The believed one was read already; the one on the medium is the same, byte for byte.
        [ "$version" = "$believed" ] || parse_root "root.$version" "$quarantine/root.$version"
    done
    before='' newest=$believed
    for version in $versions; do
        # A medium's roots follow the believed one, or it stands among them, or they are from before it.
        if [ -z "$before" ] && [ "$version" -gt "${believed:-$version}" ]; then before=$believed; fi
        check_root_signatures "$version" "$before"
        before=$version
        if [ -z "$newest" ] || [ "$version" -gt "$newest" ]; then newest=$version; fi
    done
}

check_root_signatures() { # VERSION BEFORE
    cat "$work/root.$1.root" >"$work/allowed"
    if [ -n "$2" ]; then cat "$work/root.$2.root" >>"$work/allowed"; fi
    collect_signers "root.$1" "$work/allowed"
    if [ -n "$2" ]; then judges="$1 $2"; else judges=$1; fi
    for judge in $judges; do
        count=$(grep -cxFf "$work/root.$judge.root" "$work/signers" || true)
        read -r needed <"$work/root.$judge.root-threshold"
        [ "$count" -ge "$needed" ] ||
            untrusted "root.$1 is not signed by enough root keys of root.$judge." "$count of $needed needed"
    done
}

collect_signers() { # NAME ALLOWED: writes the ids of the different keys that signed; refuses a signature that fails
    : >"$work/signers"
    for path in "$medium/$1.sig."*; do
        file=${path##*/}
        if [ ! -e "$path" ] && [ ! -L "$path" ]; then continue; fi
        keyid=${file#"$1.sig."}
        case $keyid in '' | *[!0-9a-f]*) keyid=none ;; esac
        grep -qxF -- "$keyid" "$2" ||
            untrusted "$(shown "$file") is by a key that may not sign $1." "its root does not name the key"
        take "$file" 72
        openssl dgst -sha256 -verify "$work/$keyid.pem" -signature "$quarantine/$file" "$quarantine/$1" >/dev/null 2>&1 ||
            untrusted "$file does not verify." "it was not made over this $1 by the key it names"
        printf '%s\n' "$keyid" >>"$work/signers"
    done
}

# --- 2. to 5. signatures, list, RELEASE, the exact set ------------------------------------------

check_signatures() {
    take SHA256SUMS "$small_bytes"
    collect_signers SHA256SUMS "$work/$root.release"
    count=$(wc -l <"$work/signers")
    read -r needed <"$work/$root.release-threshold"
    [ "$count" -ge "$needed" ] ||
        untrusted "SHA256SUMS is not signed by enough release keys of $root." "$((count)) of $needed needed"
    sums_sha256=$(sha256_of "$quarantine/SHA256SUMS")
}

check_list() { # sets $listed and $wheel
    list=$quarantine/SHA256SUMS
    check_text SHA256SUMS "$list"
    bad=$({ grep -nEvx '[0-9a-f]{64}  [A-Za-z0-9][A-Za-z0-9._-]{0,99}' "$list" || true; grep -nE '^.{66}(SHA256SUMS|root\.)' "$list"; } |
        cut -d: -f1 | sort -n | head -n 1)
    [ -z "$bad" ] || malformed SHA256SUMS "line $bad must be a SHA-256, two spaces and a plain name"
    listed=$(cut -c67- "$list" | sort)
    [ -z "$(printf '%s\n' "$listed" | tr '[:upper:]' '[:lower:]' | sort | uniq -d)" ] || malformed SHA256SUMS "a name stands in it twice"
    for name in install.sh RELEASE contents.json runtime.tar.gz; do
        is_listed "$name" || malformed SHA256SUMS "it does not list $name"
    done
    wheel=$(printf '%s\n' "$listed" | grep -Ex 'islet-[A-Za-z0-9._]+-py3-none-any\.whl' || true)
    case $wheel in '' | *"$newline"*) malformed SHA256SUMS "it must list one wheel of islet" ;; esac
}

check_release() { # sets $product $number $expires $disk_bytes
    take RELEASE "$small_bytes"
    check_hash RELEASE "$quarantine/RELEASE"
    file=$quarantine/RELEASE
    check_text RELEASE "$file"
    check_fields RELEASE "$file" 'format: islet-release-1' 'product: [a-z0-9][a-z0-9-]{0,63}' 'number: [1-9][0-9]{0,8}' \
        "created: $date_grammar" "expires: $date_grammar" 'root-version: [1-9][0-9]{0,3}' 'disk-bytes: (0|[1-9][0-9]{0,14})'
    {
        read -r key value && read -r key product && read -r key number && read -r key value
        read -r key expires && read -r key needs_root && read -r key disk_bytes
    } <"$file"
    lines=$(wc -l <"$file")
    [ "$lines" -eq 7 ] || malformed RELEASE "it has $((lines)) lines and must have 7"
    [ "$needs_root" -le "${root#root.}" ] || untrusted "This release needs root.$needs_root." "the newest here is $root"
    if [ -n "$site_product" ] && [ "$product" != "$site_product" ]; then
        untrusted "This bundle is $product." "this site runs $site_product"
    fi
    if [ "$number" -lt "$site_number" ]; then
        is_accepted older || untrusted "Release $number is older than this site." "it has had release $site_number"
    fi
    if [ "$number" -eq "$site_number" ] && [ "$sums_sha256" != "$site_sums" ]; then
        untrusted "This is another release $number." "this site has had that number with another list"
    fi
    if is_before "$expires" "$now"; then
        is_accepted expired || untrusted "Release $number has expired." "it was good until $expires"
    fi
    if [ -n "$wanted_sums" ] && [ "$sums_sha256" != "$wanted_sums" ]; then
        untrusted "This is not the bundle whose plan was shown." "its SHA256SUMS is another"
    fi
}

is_accepted() { # WHAT: whether the administrator takes it upon himself; notes that it was needed
    case " $accept " in *" $1 "*) overridden="$overridden $1" ;; *) return 1 ;; esac
}

check_set() { # exactly the listed files, the signatures and the roots; all plain
    for path in "$medium"/.[!.]* "$medium"/..?* "$medium"/*; do
        if [ ! -e "$path" ] && [ ! -L "$path" ]; then continue; fi
        name=${path##*/}
        check_plain "$name"
        case $name in
        SHA256SUMS) ;;
        *[!A-Za-z0-9._-]*) extra "$name" ;;
        *)
            is_listed "$name" ||
                printf '%s\n' "$name" | grep -Eqx '(root\.[1-9][0-9]{0,3}|SHA256SUMS)(\.sig\.[0-9a-f]{16})?' || extra "$name"
            # Nobody judged a signature over a root that is not there.
            case $name in root.*.sig.*) [ -f "$medium/${name%.sig.*}" ] || extra "$name" ;; esac
            ;;
        esac
    done
    for name in $listed; do
        [ -f "$medium/$name" ] || [ "$name" = runtime.tar.gz ] || missing "$name"
    done
    size=$({ wc -c <"$medium/contents.json"; } 2>/dev/null) || unreadable contents.json
    [ "$size" -le 16000000 ] || malformed contents.json "it is longer than 16000000 bytes"
}
extra() { untrusted "$(shown "$1") is not in the signed list." "a bundle holds nothing else"; }

# --- 6. hashes ----------------------------------------------------------------------------------

check_on_medium() { # --check: hash everything where it lies
    for name in $(beside_volumes) $(printf '%s\n' "$listed" | grep -Ex "$volume_grammar"); do
        if [ "$name" = runtime.tar.gz ] && [ -n "$left_out" ]; then continue; fi
        say "  hashing $name"
        check_hash "$name" "$medium/$name"
    done
}

take_all() { # everything but the volumes, which the appliance reads, once, while it hashes
    if is_complete; then # what runs last is the appliance's own wheel; the rest is here
        take_listed "$wheel"
        return 0
    fi
    for name in $(beside_volumes); do
        case $name in
        contents.json) ;;
        runtime.tar.gz) take_runtime ;;
        *) take_listed "$name" ;;
        esac
    done
}

take_runtime() { # copy the runtime into quarantine, from the medium or the store; the hash of the copy counts
    if [ -z "$left_out" ]; then
        take_listed runtime.tar.gz
        return 0
    fi
    if [ -L "$runtime" ] || [ ! -f "$runtime" ]; then damaged_here runtime.tar.gz; fi
    log=$({ cat <"$runtime" >"$quarantine/runtime.tar.gz"; } 2>&1) || disk_fault "$log"
    [ "$(sha256_of "$quarantine/runtime.tar.gz" 2>/dev/null)" = "$(listed_hash runtime.tar.gz)" ] || damaged_here runtime.tar.gz
}

# --- 7. the runtime -----------------------------------------------------------------------------

check_runtime() { # FILE: it has the one form that tar unpacks without surprise; sets $members
    # gzip would also unfold what is no gzip file.
    [ "$(head -c 4 "$1" | od -An -tx1 | tr -d ' \n')" = 1f8b0800 ] || malformed runtime.tar.gz "it is not one whole gzip file"
    complaint='' total=0
    for word in $({ { gzip -dc <"$1" 2>&3 || echo cut >&3; } | head -c $((disk_bytes + 1)) | wc -c | sed 's/ //g; s/^/total=/'; } 3>&1); do
        case $word in total=*) total=${word#total=} ;; *) complaint=1 ;; esac
    done
    [ "$total" -le "$disk_bytes" ] || malformed runtime.tar.gz "it unfolds to more than RELEASE says"
    # Its last four bytes are the length of the last member: of one member alone, and nothing after it, all of it.
    # shellcheck disable=SC2046  # the four numbers are wanted apart
    set -- "$1" $(tail -c 4 "$1" | od -An -tu1)
    if [ -n "$complaint" ] || [ $(($2 + 256 * $3 + 65536 * $4 + 16777216 * $5)) -ne $((total % 4294967296)) ]; then
        malformed runtime.tar.gz "it is not one whole gzip file"
    fi
    # What tar lists is what it will do, whatever else the headers say to other programs; every header that it
    # does not list, of an extension say, and every byte after the end makes the sum wrong. What tar complains of
    # is no line of a listing either. No file is written: a full disk must not look like a strange runtime.
    members=$({ tar -tvzf "$1" 2>&1 || echo cut; } | awk -v total="$((total))" "$members_program") || strange_runtime
}

strange_runtime() {
    malformed runtime.tar.gz "it holds something other than plain files, folders and links within itself"
}

# The grammar of the listing (GNU tar and busybox): modes, owner, one time, names in order, nothing below a file
# or a link, links that lead upward only from their own folder and never above the top. The characters of a name
# are those of appliance/bundle/environment.py; "->" of a hard link and what tar escapes are none of them.
# shellcheck disable=SC2016  # awk's own $
members_program='
function plain(step) { return step ~ /^[]!#-)+-.0-;=@-[^_a-z{}~ ]+$/ && step !~ /^ | $/ && step != "." && step != ".." }
function refuse() { bad = 1; exit 1 }
{
    if (!match($0, /^(-rw-r--r--|-rwxr-xr-x|drwxr-xr-x|lrwxrwxrwx) +0\/0 +[0-9]+ [0-9]+-[0-9][0-9]-[0-9][0-9] [0-9:]+ /)) refuse()
    kind = substr($0, 1, 1); name = substr($0, RLENGTH + 1); target = "."
    if (NR == 1) time = $4 " " $5
    if ($4 " " $5 != time || (kind != "-" && $3 != 0)) refuse()
    if (kind == "l") { at = index(name, " -> "); if (!at) refuse(); target = substr(name, at + 4); name = substr(name, 1, at - 1) }
    if (kind == "d" && !sub(/\/$/, "", name)) refuse()
    if (NR > 1 && !(name "" > before "")) refuse()
    depth = split(name, steps, "/"); if (!depth) refuse()
    folder = ""
    for (i = 1; i <= depth; i++) {
        if (!plain(steps[i]) || folder in leaf) refuse()
        folder = (i == 1 ? "" : folder "/") steps[i]
    }
    count = split(target, steps, "/"); if (!count) refuse()
    for (i = 1; i <= count && steps[i] == ".."; i++) if (i >= depth) refuse()
    for (; i <= count; i++) if (steps[i] != "." && !plain(steps[i])) refuse()
    if (kind != "d") { leaf[name]; print kind " ./" name }
    before = name; sum += 512 + 512 * int(($3 + 511) / 512)
}
END { if (bad || sum + 1024 != total) exit 1 }'

check_unpacked() { # FOLDER: what lies there is what was listed, before any of it runs
    found=$(cd "$1" && {
        find . ! -type d ! -type f ! -type l -exec echo '?' {} \;
        find . -type f | sed 's/^/- /'
        find . -type l | sed 's/^/l /'
    } | sort)
    [ "$found" = "$(printf '%s\n' "$members" | sort)" ] || strange_runtime
}

# --- a delta ------------------------------------------------------------------------------------

find_runtime() { # CONTENTS: sets $runtime, the file on the medium or, where a delta left it out ($left_out), in the store
    runtime=$medium/runtime.tar.gz left_out=''
    if [ -e "$runtime" ]; then return 0; fi
    requires_runtime "$1" || missing runtime.tar.gz
    runtime=$(stored_path "$(listed_hash runtime.tar.gz)") left_out=1
}
requires_runtime() { # CONTENTS: whether a delta requires it; its first line has the hashes, and no file has this one
    hash=$(listed_hash runtime.tar.gz)
    if grep -qF "\"sha256\": \"$hash\"" "$1"; then return 1; fi
    sed -n '1s/^{"format": "islet-contents-1", "requires": \[\([^]]*\)\].*/\1/p' "$1" | tr ',' '\n' | grep -qF "\"$hash\""
}

check_required() { # CONTENTS: files that a delta leaves out must be in the store, whole; changes nothing
    if is_complete; then return 0; fi
    # A delta's contents.json has one line a file, in this form; the appliance refuses it otherwise.
    {
        if [ -n "$left_out" ]; then printf '%s - runtime.tar.gz\n' "$(listed_hash runtime.tar.gz)"; fi
        sed -n 's/^{.*"parts": \[\], "path": "\([A-Za-z0-9._+@=\/-]*\)", "sha256": "\([0-9a-f]\{64\}\)", "size": \([0-9]\{1,15\}\)},\{0,1\}$/\2 \3 \1/p' "$1"
    } >"$work/required"
    total=$(wc -l <"$work/required") total=$((total))
    if [ "$total" -eq 0 ]; then return 0; fi
    [ -f "$prefix/trust/root" ] || refuse 5 "Release $number is a delta, and nothing is installed here." \
        "it leaves out $total files that an earlier release brought" "Bring the full bundle of release $number."
    : >"$work/lacking"
    while read -r sha256 size path; do
        stored=$(stored_path "$sha256")
        if [ -f "$stored" ] && [ ! -L "$stored" ]; then continue; fi
        printf '%s %s\n' "$sha256" "$path" >>"$work/lacking"
    done <"$work/required"
    if [ -s "$work/lacking" ]; then refuse_lacking; fi
    say "  hashing $total files that this delta takes from the store"
    while read -r sha256 size path; do
        stored=$(stored_path "$sha256")
        [ "$(sha256_of "$stored" 2>/dev/null)" = "$sha256" ] || damaged_here "$path"
        [ "$size" = - ] || [ "$(wc -c <"$stored")" -eq "$size" ] || malformed contents.json "the size of $path is not that of its bytes"
    done <"$work/required"
}

damaged_here() { # NAME
    refuse 4 "$1 is damaged on this box." "the store's copy no longer has its SHA-256, and this delta does not carry the file" \
        "Bring the full bundle of release $number: it replaces the file."
}

refuse_lacking() { # says which files are not here, and which releases of this box brought them once
    count=$(wc -l <"$work/lacking")
    files=$(sed -n '1,3s/^[^ ]* //p' "$work/lacking" | tr '\n' ',' | sed 's/,$//; s/,/, /g')
    if [ "$count" -gt 3 ]; then files="$files, ..."; fi
    cut -c1-64 "$work/lacking" >"$work/hashes"
    had=$(for old in "$prefix"/releases/*; do
        if [ -f "$old/installed.json" ] && grep -qsFf "$work/hashes" "$old/contents.json" "$old/installed.json"; then printf '%s\n' "${old##*/}"; fi
    done | sort -n | tr '\n' ',' | sed 's/,$//; s/,/, /g')
    if [ -n "$had" ]; then had="brought once by release $had"; else had="no release of this box brought them"; fi
    refuse 5 "Release $number is a delta, and $((count)) of the $total files that it leaves out are not here." \
        "not here: $files; $had" \
        "Bring the full bundle of release $number, or install the release before it that brings them."
}

stored_path() { printf '%s/store/%s/%s' "$prefix" "${1%"${1#??}"}" "${1#??}"; }

# --- this box -----------------------------------------------------------------------------------

need() { # COMMAND WHY
    command -v "$1" >/dev/null 2>&1 || refuse 5 "$1 is not on this box." "$2" "Install the package that has $1, then start again."
}

check_shell() { # dates and sizes are compared as numbers; mksh, for one, counts to 2^31 on every machine
    [ "$((65536 * 65536 * 4))" = 17179869184 ] || refuse 5 "This shell cannot count far enough." \
        "sizes and dates here have more than 32 bits" "Run it with another shell: bash, dash, busybox sh or ksh."
}

check_tools() {
    need openssl "signatures and hashes cannot be checked without it"
    for tool in tar gzip; do need "$tool" "the runtime cannot be unpacked without it"; done
    for tool in awk cat cmp cut date df find grep head id ls mkdir mktemp od rm sed sort sync tail tr uniq wc; do
        need "$tool" "the bundle cannot be checked without it"
    done
    # The SHA-256 of "abc" (FIPS 180-2, B.1): an openssl that does not work must not look like damage.
    [ "$(printf abc | openssl dgst -sha256 -r 2>/dev/null | cut -c1-64)" = ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad ] ||
        refuse 5 "openssl does not work on this box." "it gives a wrong SHA-256, or none" "Repair the package that has openssl, then start again."
}

existing_parent() { # the nearest folder above $1 that exists
    folder=$1
    while [ ! -d "$folder" ]; do folder=${folder%/*}; folder=${folder:-/}; done
    printf '%s' "$folder"
}

check_writable() { # FOLDER: whether this user may make or fill it; makes nothing
    folder=$(existing_parent "$1")
    [ -w "$folder" ] || refuse 5 "$1 cannot be written." \
        "you are $(id -un)" "Run as root, or give --prefix and --state in folders of yours."
}

check_links() { # what is written into the prefix must lie in it; the prefix itself may be a link
    for folder in "$prefix"/store "$prefix"/store/?? "$prefix"/releases "$prefix"/releases/* "$prefix"/trust "$prefix"/bin; do
        if [ -L "$folder" ]; then
            refuse 5 "$folder is a link." "what is written there would lie elsewhere" "See who made it and what it leads to, remove it, and start again."
        fi
    done
}

check_owner() { # what others may change in the prefix is run by who installs there
    [ -d "$prefix" ] || return 0
    # shellcheck disable=SC2046  # the fields of ls -n are wanted apart
    set -- $(ls -ldnL "$prefix")
    case $1 in ????????w*) refuse 5 "$prefix can be changed by everybody." "its mode is $1" "chmod o-w it, see that nothing strange lies in it, or give another --prefix." ;; esac
    if [ "$3" != 0 ] && [ "$3" != "$(id -u)" ]; then
        refuse 5 "$prefix belongs to somebody else." "its owner is user $3, you are user $(id -u)" "Install as its owner, or give another --prefix."
    fi
}

check_room() { # CONTENTS
    if is_complete; then return 0; fi
    held_bytes=0
    # One line a file in what our bundler writes; were it written otherwise, all room would be asked for.
    sed -n 's/.*"sha256": "\([0-9a-f]\{64\}\)", "size": \([0-9]\{1,15\}\)[,}].*/\1 \2/p' "$1" | sort -u >"$work/files"
    while read -r sha256 size; do
        if [ -f "$(stored_path "$sha256")" ]; then held_bytes=$((held_bytes + size)); fi
    done <"$work/files"
    needed_bytes=$((disk_bytes - held_bytes))
    # shellcheck disable=SC2046  # the fields of df -P are wanted apart
    set -- $(df -Pk "$(existing_parent "$prefix")" | sed -n 2p)
    free_bytes=$(($4 * 1024))
    [ "$free_bytes" -ge "$needed_bytes" ] || refuse 5 "$prefix has too little room." \
        "$((needed_bytes / 1000000 + 1)) MB needed, $((free_bytes / 1000000)) MB free" \
        "Free space there, or give --prefix on another disk."
}

find_state() { # a site keeps its state where it is, also when the option is forgotten
    known=
    if [ -f "$prefix/state" ]; then known=$(cat "$prefix/state"); fi
    if [ -n "$known" ] && [ -n "$state" ] && [ "$state" != "$known" ]; then
        refuse 2 "This site keeps its state in $known." "--state names $state" "Leave --state out."
    fi
    state=${state:-${known:-/var/lib/islet}}
    [ -z "$known" ] || return 0
    case $state/ in "$prefix"/*) not_apart ;; esac
    case $prefix/ in "$state"/*) not_apart ;; esac
}

not_apart() {
    refuse 2 "The prefix and the state folder lie one in the other." \
        "they are $prefix and $state, and each must be able to go without the other" "Give --state a folder beside the prefix."
}

read_site() { # what this site believes and has had
    site_product='' site_number=0 site_sums='' newest_date=0000-00-00T00:00:00Z
    if [ -f "$prefix/trust/state" ] || [ -f "$prefix/trust/root" ]; then
        check_memory
        while read -r key value; do
            case $key in
            product:) site_product=$value ;;
            number:) site_number=$value ;;
            sums-sha256:) site_sums=$value ;;
            newest-date:) newest_date=$value ;;
            esac
        done <"$prefix/trust/state"
    fi
    now=$(date -u +%Y-%m-%dT%H:%M:%SZ)
    if is_before "$now" "$newest_date"; then now=$newest_date; fi
}

check_memory() { # of a site that forgot what it has had, an older release would seem new
    good=$(grep -Ex "product: [a-z0-9][a-z0-9-]{0,63}|number: [1-9][0-9]{0,8}|sums-sha256: [0-9a-f]{64}|newest-date: $date_grammar" \
        "$prefix/trust/state" 2>/dev/null | cut -d: -f1 | tr '\n' ' ' || true)
    if [ "$good" != "product number sums-sha256 newest-date " ] || [ "$(wc -l <"$prefix/trust/state")" -ne 4 ]; then
        refuse 4 "This site's memory of its releases is damaged." "$prefix/trust/state is not written as it must be" \
            "Move $prefix/trust away and install as at the first installation, compared with the anchor sheet: no older release than those here."
    fi
}

# --- installing ---------------------------------------------------------------------------------

make_quarantine() {
    if [ -n "$check_only" ]; then
        # --check writes nothing under the prefix; control files are small.
        quarantine=$(mktemp -d "${TMPDIR:-/tmp}/islet-check.XXXXXX")
    else
        [ -d "$prefix" ] || log=$(mkdir -p "$prefix" 2>&1) || not_made "$log"
        # Made first, looked around after: of two that start at once, one sees the other, or both do.
        quarantine=$prefix/quarantine.$$
        rm -rf "$quarantine"
        log=$(mkdir -m 700 "$quarantine" 2>&1) || not_made "$log"
        check_alone
        for old in "$prefix"/quarantine.*; do
            if [ "$old" != "$quarantine" ] && is_number "${old##*/quarantine.}"; then rm -rf "$old"; fi
        done
        remove_incomplete
    fi
    work=$quarantine/.work
    mkdir "$work"
}

check_alone() { # no other install, and nothing that a killed one left running, is at work in this prefix
    for old in "$prefix"/quarantine.*; do
        if [ "$old" = "$quarantine" ] || [ ! -d "$old" ] || ! is_number "${old##*/quarantine.}"; then continue; fi
        # Another process may have got the number since a power cut: its command line tells, or its start time.
        if [ -f "$old/.at-work" ]; then
            read -r started command <"$old/.at-work" || true
            [ -z "$started" ] || [ "$started" != "$(start_time "${old##*.}")" ] ||
                refuse 5 "islet $command is running here." "process ${old##*.} is at work in $prefix" "Wait until it has ended."
        fi
        if grep -q install.sh "/proc/${old##*.}/cmdline" 2>/dev/null || is_named "$old/"; then
            refuse 5 "Another install is running here." "process ${old##*.} is at work in $prefix" "Wait until it has ended."
        fi
    done
    for old in "$prefix"/releases/*; do
        if is_number "${old##*/}" && [ ! -f "$old/installed.json" ] && is_named "$old/"; then
            refuse 5 "Another install is running here." "a program is at work in $old" "Wait until it has ended."
        fi
    done
}
is_number() { # NAME: of a process or a release; what is called otherwise in the prefix is somebody else's
    case $1 in '' | 0* | *[!0-9]* | ??????????*) return 1 ;; esac
}
is_named() { grep -qsF -- "$1" /proc/[0-9]*/cmdline; } # whether a running program was given a path that starts so

start_time() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d ' ' -f 20; } # of a process (proc(5), field 22)

remove_incomplete() { # releases whose install was cut off; the one in use stays, whatever it lacks
    for old in "$prefix"/releases/*; do
        if [ ! -d "$old" ] || [ -f "$old/installed.json" ] || [ "$old" -ef "$prefix/current" ]; then continue; fi
        is_number "${old##*/}" || continue
        rm -rf "$old"
    done
}

is_complete() { # whether this very release was installed to its end; an equal number alone is not enough
    [ ! -e "$prefix/releases/$number/runtime.damaged" ] || return 1 # islet doctor says that it must be made anew
    grep -qsF "\"sums-sha256\": \"$sums_sha256\"" "$prefix/releases/$number/installed.json"
}

clean_up() { # keeps the exit code; what is half done goes, what is complete stays
    code=$?
    trap '' INT TERM HUP
    if [ "$code" -ne 0 ] && [ -z "$said" ]; then # a small tool failed; nearly always, the disk did
        printf 'islet: %s\nwhy: %s\nnext: %s\n' "The installation stopped." "the line above says at what (exit code $code)" \
            "Free space under $prefix and see that it can be written, then start again." >&2
        code=5
    fi
    # What cannot be removed now is removed by the next command; it changes nothing about how this one ended.
    if [ -n "$quarantine" ]; then rm -rf "$quarantine" || true; fi
    if [ -n "$release" ] && ! [ -f "$release/installed.json" ]; then rm -rf "$release" || true; fi
    exit "$code"
}

stop() { # CODE: a signal came; the part that runs in Python is ended first, with what it started
    trap '' INT TERM HUP
    if [ -n "$child" ]; then
        kill -TERM "$child" 2>/dev/null || true
        wait "$child" || true
    fi
    refuse "$1" "The installation was stopped." "a signal asked for it" \
        "Give the same command again: files that were copied whole are not copied again."
}

not_made() { # LOG: a folder could not be made
    disk_fault "$1"
    refuse 5 "$prefix cannot be written." "no folder can be made there" "Give --prefix and --state in folders of yours."
}

disk_fault() { # LOG: says so and ends, when a program's last words tell of the disk that it wrote to
    for cause in 'No space left on device' 'Disk quota exceeded' 'File too large'; do
        case $1 in *"$cause"*) refuse 5 "$prefix is full." "$cause" "Free space there, or give --prefix on another disk; then start again." ;; esac
    done
    for cause in 'Input/output error' 'Read-only file system'; do
        case $1 in *"$cause"*) refuse 5 "$prefix could not be written." "$cause" "Make it writable, or give --prefix and --state elsewhere; then start again." ;; esac
    done
}

unpack_runtime() {
    if is_complete; then return 0; fi
    check_runtime "$quarantine/runtime.tar.gz"
    # One that does not say which list it is from is damaged, and is made anew as a damaged runtime is.
    if [ "$release" -ef "$prefix/current" ] && grep -qsE '"sums-sha256": "[0-9a-f]{64}"' "$release/installed.json" && [ ! -e "$release/runtime.damaged" ]; then
        refuse 5 "Another release $number is in use here." "it was installed with another list" "Go to another release first: islet rollback."
    fi
    if [ -f "$release/installed.json" ]; then
        rm -f "$release/installed.json" # first, and on the disk: what is being removed must not pass for whole
        sync
    fi
    rm -rf "$release"
    log=$(mkdir -p "$release/runtime" 2>&1) || not_made "$log"
    say "  unpacking the runtime"
    log=$(tar -xzf "$quarantine/runtime.tar.gz" -o -C "$release/runtime" 2>&1) || {
        disk_fault "$log"
        refuse 7 "The runtime could not be unpacked." "$(printf '%s\n' "$log" | tail -n 3)" "Send these lines to the sender."
    }
    check_unpacked "$release/runtime"
    log=$("$release/runtime/bin/python" -I -c '' 2>&1) || refuse 5 "The runtime does not start on this box." \
        "$(printf '%s\n' "$log" | tail -n 3)" "Compare the box with the target in BUNDLE.md, or call the sender."
}

look_at_box() { # --check: the appliance's own look, by the runtime and the wheel that were verified, in a folder that goes
    if ! (
        take_listed contents.json && take_listed "$wheel" && take_runtime && mkdir "$quarantine/runtime" &&
            tar -xzf "$quarantine/runtime.tar.gz" -o -C "$quarantine/runtime" &&
            check_unpacked "$quarantine/runtime" && "$quarantine/runtime/bin/python" -I -c ''
    ) >/dev/null 2>&1; then
        say "  this box was not looked at in full: ${quarantine%/*} has no room for the runtime, or may not run it" \
            "(TMPDIR=FOLDER names another)"
        return 0
    fi
    "$quarantine/runtime/bin/python" -I -B -c \
        'import sys; sys.path.insert(0, sys.argv.pop(1)); from appliance.site.preflight import main; sys.exit(main(sys.argv[1:]))' \
        "$quarantine/$wheel" "$prefix" "$state" "$quarantine/RELEASE" "$quarantine/contents.json" ||
        refuse 5 "This box is not ready." "something above is marked WRONG, and nothing goes on with it" \
            "Do what stands below it, then check again."
}

hand_over() { # the rest is done by the appliance's own wheel, verified above
    # In the background, so that a signal to this shell is not kept waiting until it has ended.
    "$release/runtime/bin/python" -I -B -c \
        'import sys; sys.path.insert(0, sys.argv.pop(1)); from appliance.site.install import main; sys.exit(main(sys.argv[1:]))' \
        "$quarantine/$wheel" --medium "$medium" --quarantine "$quarantine" --prefix "$prefix" --state "$state" \
        --root "$root" --anchor-was "$how" --accepted "${overridden# }" --reason "$reason" &
    child=$! code=0
    wait "$child" || code=$?
    child=''
    # Its own refusals were printed by it; a signal leaves nobody to say so.
    case $code in
    0) return 0 ;;
    137) refuse 7 "The installation was killed." "that is what happens when memory runs out (exit code 137)" "See that memory is free, then start again." ;;
    esac
    [ "$code" -lt 128 ] || refuse 7 "The installation was cut off." "a signal ended it (exit code $code)" "Start again."
    said=1
    exit "$code"
}

parse_arguments() {
    prefix=/opt/islet state='' anchor='' how='not asked: this site had a root' check_only='' medium=''
    accept='' reason='' overridden='' wanted_sums=''
    while [ $# -gt 0 ]; do
        case $1 in
        --prefix | --state | --anchor | --accept | --reason | --sums)
            [ $# -ge 2 ] || usage "$1 needs a value."
            case $1 in
            --prefix) prefix=$2 ;;
            --state) state=$2 ;;
            --accept)
                case $2 in expired | older) accept="$accept $2" ;; *) usage "--accept takes expired or older." ;; esac
                ;;
            --reason) reason=$2 ;;
            --sums) wanted_sums=$2 ;;
            --anchor)
                anchor=$(printf '%s' "$2" | tr -d ' ' | tr A-F a-f)
                printf '%s\n' "$anchor" | grep -Eqx '[0-9a-f]{64}' || usage "--anchor must be 64 hexadecimal digits."
                how='given as --anchor'
                ;;
            esac
            shift 2
            ;;
        --check) check_only=1; shift ;;
        -h | --help) sed -n '2,28s/^# \{0,1\}//p' "$0"; exit 0 ;;
        -*) usage "There is no option $1." ;;
        *)
            [ -z "$medium" ] || usage "There is one MEDIUM."
            medium=$1; shift
            ;;
        esac
    done
    [ -n "$medium" ] || usage "MEDIUM is not given."
    [ -d "$medium" ] || usage "$medium is not a folder."
    if [ ! -e "$medium/RELEASE" ] && [ ! -e "$medium/SHA256SUMS" ]; then
        refuse 6 "$medium holds no bundle." "neither RELEASE nor SHA256SUMS is in it" "Mount the medium, and name the folder on it that has RELEASE in it."
    fi
    for folder in "$prefix" "${state:-$prefix}"; do
        case $folder in
        /*[!/]*) ;;
        /*) refuse 2 "The prefix or the state folder cannot be /." "the system's own folders lie there" "Give a folder for Islet alone, as /opt/islet." ;;
        *) usage "$folder is not an absolute path." ;;
        esac
    done
    prefix=${prefix%/} state=${state%/}
    medium=$(cd "$medium" && pwd)
}

check_reason() { # overriding needs words for the audit log, and words without it mean a slip
    if [ -z "$accept" ] && [ -z "$reason" ]; then return 0; fi
    [ -n "$accept" ] || usage "--reason goes with --accept."
    printf '%s' "$reason" | grep -q '[^ ]' || usage "--accept needs --reason, in words that an auditor will read."
    if [ "$(printf '%s' "$reason" | tr -d '[:cntrl:]')" != "$reason" ] || [ ${#reason} -gt 500 ]; then
        usage "--reason is one line of at most 500 bytes."
    fi
}

main() {
    PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C
    export PATH LC_ALL
    unset OPENSSL_CONF OPENSSL_MODULES OPENSSL_ENGINES LD_PRELOAD LD_AUDIT LD_LIBRARY_PATH PYTHONPATH PYTHONHOME
    unset CDPATH TAR_OPTIONS GREP_OPTIONS GZIP GLOBIGNORE BASH_ENV ENV POSIXLY_CORRECT
    umask 022
    small_bytes=1000000 quarantine='' release='' child='' said=''
    parse_arguments "$@"
    check_shell
    check_reason
    check_tools
    find_state
    check_writable "$prefix"
    check_writable "$state"
    check_owner
    check_links
    trap clean_up EXIT
    trap 'stop 130' INT
    trap 'stop 143' TERM
    trap 'stop 129' HUP
    make_quarantine
    read_site

    say "Checking who made this bundle"
    check_roots
    check_signatures
    check_list
    check_release
    check_set
    say "  $product, release $number, signed by $(tr '\n' ' ' <"$work/signers")"
    if [ -n "$check_only" ]; then
        check_hash contents.json "$medium/contents.json"
        find_runtime "$medium/contents.json"
        check_required "$medium/contents.json"
        check_room "$medium/contents.json"
        check_on_medium
        if [ -z "$left_out" ] || ! is_complete; then check_runtime "$runtime"; fi
        look_at_box
        say "The bundle is whole and signed, and this box has room for it. Nothing was changed."
        return 0
    fi
    take_listed contents.json
    find_runtime "$quarantine/contents.json"
    check_required "$quarantine/contents.json"
    check_room "$quarantine/contents.json"
    say "Copying and hashing"
    take_all
    release=$prefix/releases/$number
    unpack_runtime
    hand_over
}

main "$@"

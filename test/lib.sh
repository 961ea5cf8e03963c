# test/lib.sh: what test/run and demo/run share.  POSIX sh, to be sourced with
# $top set to the checkout.
# shellcheck shell=sh disable=SC2154

PG_BIN=/usr/lib/postgresql/15/bin
test_path=$PG_BIN:/usr/local/bin:/usr/bin:/bin

# Commands that need root: as we are, or with sudo, which must not ask when
# nobody can answer.
as_root()
{
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif [ -t 0 ]; then
        sudo "$@"
    else
        sudo -n "$@"
    fi
}

# Is a package there?  node and npm also when somebody else than Debian brought
# them, whose nodejs then keeps Debian's npm out.
has_package()
{
    case $1 in
        nodejs) PATH=$test_path command -v node >/dev/null && return 0 ;;
        npm) PATH=$test_path command -v npm >/dev/null && return 0 ;;
    esac
    dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null | grep -qx installed
}

# Those of test/packages.txt, and of the lists $more_packages and
# $deep_packages if they are set.
missing_packages()
{
    sed -e '/^#/d' -e 's/[[:space:]].*//' "$top/test/packages.txt" \
        ${more_packages:+"$more_packages"} ${deep_packages:+"$deep_packages"} |
        while read -r package; do
            has_package "$package" || echo "$package"
        done
}

# Install what is missing, and nothing when nothing is.  When we are the ones
# who bring the server, Debian's habit of making and starting a cluster is
# switched off meanwhile: that would be a cluster nobody asked for.
install_packages()
{
    missing=$(missing_packages | tr '\n' ' ')
    [ -n "$missing" ] || return 0

    echo "Installing: $missing"
    brings_server=
    case " $missing" in *" postgresql-15 "*) brings_server=yes ;; esac
    [ -z "$brings_server" ] || hold_clusters
    as_root apt-get -q update </dev/null ||
        echo "apt-get update failed; trying with the lists as they are"
    # shellcheck disable=SC2086
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y \
        --no-install-recommends -o DPkg::Lock::Timeout=300 \
        -o Dpkg::Use-Pty=0 install $missing </dev/null
    status=$?
    [ -z "$brings_server" ] || release_clusters
    return $status
}

cluster_conf=/etc/postgresql-common/createcluster.d/padlock-no-cluster.conf
policy=/usr/sbin/policy-rc.d
held_policy=

hold_clusters()
{
    as_root mkdir -p "${cluster_conf%/*}"
    echo 'create_main_cluster = false' | as_root tee "$cluster_conf" >/dev/null
    if [ ! -e $policy ]; then
        held_policy=yes
        printf '#!/bin/sh\nexit 101\n' | as_root tee $policy >/dev/null
        as_root chmod 755 $policy
    fi
}

release_clusters()
{
    as_root rm -f "$cluster_conf"
    as_root rmdir "${cluster_conf%/*}" 2>/dev/null
    [ -z "$held_policy" ] || as_root rm -f $policy
    held_policy=
    brings_server=
}

# Run a command as the user who runs servers: postgres when we are root, which
# the server refuses to run as.  The environment is our own, so that no PG*
# variable, proxy or locale of the caller's changes a result.  The command
# replaces the shell, so that signals reach it.
exec_as_server_user()
{
    user=
    [ "$(id -u)" -ne 0 ] ||
        user="setpriv --reuid=postgres --regid=postgres --init-groups --inh-caps=-all"
    # shellcheck disable=SC2086
    exec setsid $user env -i HOME="$work" LANG=C.UTF-8 TERM="${TERM:-dumb}" \
        PATH="$test_path" TMPDIR="$work/tmp" \
        "$@" </dev/null
}

# A temporary folder of the server's user, made from a mktemp template with a
# path short enough for unix sockets below it, in $work.
make_work_folder()
{
    work=$(mktemp -d "$1") || return 1
    chmod 755 "$work"
    mkdir "$work/tmp" "$work/source"
    [ "$(id -u)" -ne 0 ] || chown postgres: "$work" "$work/tmp" "$work/source"
}

# The work tree without what a build or a test left there.
copy_source()
{
    (cd "$top" && tar -cf - --exclude=./.git --exclude='./tmp_*' \
        --exclude='*.o' --exclude='*.so' --exclude='*.bc' \
        --exclude=./src/agent/padlock_fetch --exclude=./src/agent/padlock_parse \
        --exclude=./.build --exclude=./results --exclude=./output_iso \
        --exclude=node_modules .) |
        (cd "$work/source" && tar -xf - --no-same-owner) || return 1
    # tests go further where public test data lies beside the work tree
    if [ -d "$top/../shared/data" ]; then
        mkdir "$work/shared"
        ln -s "$(cd "$top/../shared/data" && pwd)" "$work/shared/data"
    fi
    [ "$(id -u)" -ne 0 ] || chown -R postgres: "$work/source"
}

# Wait for a background command; its group is ended first when we are told to
# stop.  Sets child.
wait_for_child()
{
    child=$1
    trap 'stop_child; exit 130' INT
    trap 'stop_child; exit 143' TERM HUP
    wait "$child"
}

# End what we started: the command's process group politely, then servers
# whose data lies in our folder, then whatever is left of the group.
stop_child()
{
    [ -n "${child:-}" ] || return 0
    kill -TERM "$child" "-$child" 2>/dev/null
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        kill -0 "-$child" 2>/dev/null || break
        sleep 0.5
    done
    stop_servers
    kill -KILL "-$child" 2>/dev/null
    child=
}

stop_servers()
{
    find "$work" -name postmaster.pid 2>/dev/null | while read -r file; do
        pid=$(head -n 1 "$file")
        # the pid may be old and belong to another by now
        [ "$(readlink "/proc/$pid/cwd" 2>/dev/null)" = "${file%/*}" ] || continue
        kill -INT "$pid" 2>/dev/null
        for _ in 1 2 3 4 5 6 7 8 9 10; do
            kill -0 "$pid" 2>/dev/null || break
            sleep 0.5
        done
        kill -QUIT "$pid" 2>/dev/null
    done
}

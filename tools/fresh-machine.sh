#!/bin/sh
# Proves the set-up where nothing was ever installed: a minimal Debian tree, in it a clone of this checkout, `make run`
# with a link, the same again without a network, `make test`. Needs root and debootstrap; the tree and what was learnt
# lie in $FRESH_DIR. How this host reaches its packages is carried over as it stands: sources and keys of apt, pip's
# settings, certificates. FRESH_WORK_TREE=1 takes the files as they are, uncommitted work included; FRESH_STEPS="user run
# again test" are the steps.
set -eu
cd "$(dirname "$0")/.."
. tools/debian-tree.sh
suite=${SUITE:-bookworm}
packages=make,git
steps=${FRESH_STEPS:-user run anybody again test}
base=$home/$suite
tree=$home/$suite-tree

main() {
    case ${FRESH_STAGE:-outside} in
    outside)
        make_base
        make_tree
        give_to_somebody
        cp tools/fresh-steps.sh "$tree/root/steps"
        FRESH_STAGE=alone exec unshare --mount --pid --fork --kill-child --propagation private \
            sh tools/fresh-machine.sh
        ;;
    alone) enter_tree sh /root/steps $steps ;;
    esac
}

# A second copy, for a user without rights.
give_to_somebody() {
    mkdir -p "$tree/home/somebody"
    cp -a "$tree/root/project" "$tree/home/somebody/"
    chown -R 1000:1000 "$tree/home/somebody"
}

main

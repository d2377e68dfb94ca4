#!/bin/busybox sh
# What the kernel of a guest starts first: loads modules, puts the disks together, and becomes the
# agent, with the image's own Python. The disks are known by their serial numbers:
#   root     the image, squashfs, read-only
#   scratch  ext4, empty: what the guest writes
#   payload  a tar of the guest's scripts now; later a squashfs, what a trial is shown
# /run/proofrig is the agent's own place; nobody else may look into it.
B=/bin/busybox
for d in proc sys dev mnt lower scratch; do $B mkdir -p /$d; done
$B mount -t devtmpfs dev /dev
$B mount -t proc proc /proc
$B mount -t sysfs sys /sys
exec </dev/null >/dev/console 2>&1
for m in $($B cat /m/order); do $B insmod /m/$m || echo "proofrig: insmod $m failed"; done

disk() {
  i=0
  while [ $i -lt 2000 ]; do
    for d in /sys/block/vd*; do
      [ "$($B cat $d/serial 2>/dev/null)" = "$1" ] && { echo /dev/${d##*/}; return; }
    done
    $B usleep 5000
    i=$((i + 1))
  done
}
root=$(disk root) scratch=$(disk scratch) payload=$(disk payload)
PYTHON=/usr/bin/python3
for a in $($B cat /proc/cmdline); do
  case $a in proofrig.python=*) PYTHON=${a#*=} ;; esac
done

$B mount -t squashfs -o ro $root /lower || echo "proofrig: no root"
$B mount -t ext4 -o noatime,noinit_itable $scratch /scratch || echo "proofrig: no scratch"
for d in boot boot.work upper work; do $B mkdir /scratch/$d; done
$B mount -t overlay -o lowerdir=/lower,upperdir=/scratch/boot,workdir=/scratch/boot.work boot /mnt
$B mount -t tmpfs -o mode=755,size=16m run /mnt/run
$B mkdir -m 700 /mnt/run/proofrig
for d in lower scratch; do
  $B mkdir /mnt/run/proofrig/$d
  $B mount -o move /$d /mnt/run/proofrig/$d
done
$B mkdir /mnt/run/proofrig/shown /mnt/run/proofrig/root
$B dd if=$payload bs=64k count=16 2>/dev/null | $B tar -x -C /mnt/run/proofrig
$B ln -s $payload /mnt/run/proofrig/payload
$B ip link set lo up
$B mkdir -p /dev/pts /dev/shm
$B mount -t devpts -o mode=620,ptmxmode=666 pts /dev/pts
$B mount -t tmpfs -o mode=1777 shm /dev/shm
$B mount -t cgroup2 cgroup /sys/fs/cgroup
for d in proc sys dev; do $B mount -o move /$d /mnt/$d; done
exec $B switch_root /mnt $PYTHON /run/proofrig/agent.py >/dev/null

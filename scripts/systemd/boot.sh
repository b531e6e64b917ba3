# Runs in the machine that scripts/systemd/trial boots twice, as root: what a user of systemd's does with dist/pod.
# shellcheck disable=SC2016 # the user's shell expands
exec >>/report 2>&1
boot=$(cat /boots 2>/dev/null || echo 1)
echo $((boot + 1)) >/boots

# A login session of the user's, as sshd and login make one.
session() { systemd-run --quiet --pipe --wait -p User=user -p PAMName=login -p WorkingDirectory=/home/user bash -c "$1"; }
check() {
  local name=$1 output
  shift
  if output=$("$@" 2>&1); then echo "ok: $name"; else printf 'not ok: %s\n%s\n' "$name" "$output"; fi
}
in_session() { check "$1" session "$2"; }
program='trap "echo bye; exit 0" TERM; echo up; while :; do sleep 0.1; done'

chmod 666 /dev/net/tun /dev/fuse
for _ in $(seq 100); do
  [ ! -S /run/user/1000/systemd/private ] || break
  sleep 0.2
done

first() {
  in_session "the starter image is here" 'pod pull -q starter'
  in_session "info says that a login session's control group is not the user's, and where to get one" \
    'pod info | grep "session-.*scope is not yours to divide; .systemd-run --user --scope -p Delegate=yes"'
  in_session "a container runs in a login session" \
    "pod run -d --name web --restart always starter sh -c '$program' && pod system autostart"
  in_session "pause says there that SIGSTOP does it" 'pod pause web 2>&1 | grep SIGSTOP && pod unpause web'
  in_session "one on fuse-overlayfs" \
    "pod run -d --name fuse --network none --restart unless-stopped --storage-driver fuse-overlayfs starter sh -c '$program'"
  in_session "the unit is one that systemd takes" \
    'systemctl --user daemon-reload && systemd-analyze --user verify pod.service && systemctl --user is-enabled pod.service'
  in_session "with Delegate=yes the container is frozen" \
    'systemd-run --user --scope -p Delegate=yes sh -ec "
       pod run -d --name cold --network none starter sleep 100
       test -z \"\$(pod pause cold 2>&1 >/dev/null)\"
       grep \"frozen 1\" /sys/fs/cgroup\$(sed -n s/^0:://p /proc/self/cgroup)/pod-*/cgroup.events
       pod rm -f cold
       test ! -e /sys/fs/cgroup\$(sed -n s/^0:://p /proc/self/cgroup)/pod-*"'
  in_session "containers outlive the login session" 'test "$(pod ps -q | wc -l)" = 2'
  systemctl reboot
}

second() {
  for _ in $(seq 50); do
    systemctl --user -M user@ is-active --quiet pod.service && break
    sleep 0.2
  done
  in_session "at the shutdown programs had their time to end" \
    'pod logs web | grep bye && pod logs fuse | grep bye'
  in_session "after it they run again, as the user's, below the unit" \
    'test "$(pod ps -q | wc -l)" = 2 && for name in web fuse; do
       pid=$(pod inspect -f "{{.State.Pid}}" $name)
       grep "user@1000.service/.*/pod.service/pod-" /proc/$pid/cgroup && test "$(stat -c %u /proc/$pid)" = 1000 || exit 1
     done'
  in_session "the unit is well" 'systemctl --user status pod.service && test -z "$(systemctl --user --failed --quiet)"'
  in_session "pause freezes them, also from a login session" 'test -z "$(pod pause fuse 2>&1 >/dev/null)"'
  in_session "they outlive a login session" 'test "$(pod ps -q | wc -l)" = 2'
  check "the user's systemd ends" systemctl stop user@1000.service
  # a login session would start them again
  check "and each program has got one signal, in its time" runuser -u user -- env HOME=/home/user bash -c \
    'test "$(pod ps -aq --filter exited=0 | wc -l)" = 2 && for name in web fuse; do
       pod logs $name 2>&1 | tail -n 2 | tr "\n" " " | grep "^up bye" || exit 1
     done'
  echo "the end"
  systemctl poweroff
}

if [ "$boot" = 1 ]; then first; else second; fi

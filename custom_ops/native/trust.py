"""The check that only this user and root can have written a file that is going to be run."""

import os
import stat
from pathlib import Path

try:
    import grp
    import pwd
except ImportError:  # not every platform has them
    grp = pwd = None  # type: ignore[assignment]

WHOLE_MAP = ["0", "0", "4294967295"]  # the user namespace in which every user is known by the number that it has


def find_risk(path: Path) -> str:
    """The reason why somebody else could have written the file or folder at `path`; empty where nobody could.

    A file or folder must belong to this user or root, and be writable by nobody else but a group of this user alone.
    So must every folder above it, whether named or the target of a symbolic link; there a sticky one such as /tmp is
    accepted. Below a folder that nobody else may enter, such as a closed home, modes do not matter. A path that does
    not exist is a risk. Where users have no numbers, as on Windows, everything is trusted.
    """
    if not hasattr(os, "getuid"):
        return ""
    named = Path(os.path.abspath(path))
    return _find_risk_in_chain(Path(os.path.realpath(named))) or _find_risk_in_chain(named)


def _find_risk_in_chain(path: Path) -> str:
    """The first risk from the root down to `path`."""
    is_closed = False
    for place in (*reversed(path.parents), path):
        try:
            status = place.lstat()
        except OSError as error:
            return f"{place} cannot be examined ({error.strerror})"
        is_above = place != path
        if status.st_uid not in {os.getuid(), 0, *(_unknown_owners() if is_above else ())}:
            return f"{place} belongs to another user ({status.st_uid})"
        if not is_closed and (reason := _find_risk_of_mode(place, status, is_above)):
            return reason
        is_closed = is_closed or _is_closed(status)
    return ""


def _find_risk_of_mode(path: Path, status: os.stat_result, is_above: bool) -> str:
    if stat.S_ISLNK(status.st_mode) or (is_above and status.st_mode & stat.S_ISVTX):
        return ""  # the owners of what stands in a sticky folder are examined themselves
    if status.st_mode & stat.S_IWOTH:
        return f"{path} can be written by every user"
    if status.st_mode & stat.S_IWGRP and not _is_private(status.st_gid):
        return f"{path} can be written by the group {status.st_gid}"
    return ""


def _is_closed(status: os.stat_result) -> bool:
    """Whether a folder is this user's, and nobody else may enter it, not even a group."""
    is_own = stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid()
    return is_own and not status.st_mode & (stat.S_IXGRP | stat.S_IXOTH)


def _is_private(group: int) -> bool:
    """Whether a group is root's, or this user's own by the custom of a group for each user, named alike."""
    if group == 0:
        return True
    try:
        name, members = grp.getgrgid(group).gr_name, grp.getgrgid(group).gr_mem
        user = pwd.getpwuid(os.getuid())
    except (KeyError, AttributeError):  # a user or group without a name, as in containers
        return False
    return user.pw_gid == group and name == user.pw_name and set(members) <= {name}


def _unknown_owners() -> set[int]:
    """The number under which root's folders appear in a container that does not know root; others' may as well."""
    try:
        if Path("/proc/self/uid_map").read_text().split() == WHOLE_MAP:
            return set()
        return {int(Path("/proc/sys/kernel/overflowuid").read_text())}
    except (OSError, ValueError):
        return set()

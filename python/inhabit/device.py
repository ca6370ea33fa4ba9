"""A first probe of the real device: five facts, each True, False or unknown, and who told.

Linux is asked over D-Bus (UPower, logind, NetworkManager) where ``jeepney`` is installed, and
through ``/sys/class/power_supply``; macOS through ``pmset`` and ``ioreg``; Windows through two
functions of its API. ``psutil``, where installed, is asked about the battery on any system. Both
come with the extra ``inhabit[device]``; without them more stays unknown, and nothing fails.

On a phone the app itself knows better: it passes its own `DeviceState`.
"""

from __future__ import annotations

import ctypes
import re
import subprocess
import sys
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from inhabit.scheduling import DeviceState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["probe"]

_LOW_BATTERY_PERCENT: Final = 20.0
_TIMEOUT_S: Final = 2.0
_POWER_SUPPLY: Final = Path("/sys/class/power_supply")

_Facts = dict[str, bool | None]
_Source = tuple[str, "Callable[[timedelta], _Facts]"]


class _Unknown(Exception):  # noqa: N818 - not an error: an answer
    """A source cannot tell; the message says why."""


def probe(*, idle_after: timedelta = timedelta(minutes=5)) -> DeviceState:
    """Ask the device for the five facts of `DeviceState`.

    Parameters
    ----------
    idle_after : timedelta
        Without input for this long the device counts as idle, where the system tells a duration.

    Returns
    -------
    DeviceState
        Facts that nobody could tell are None; ``notes`` has a line for each source.
    """
    facts: _Facts = dict.fromkeys(DeviceState().facts())
    notes = []
    for name, read in _sources(sys.platform):
        try:
            told = {key: value for key, value in read(idle_after).items() if value is not None}
        except (_Unknown, OSError) as why:
            notes.append(f"{name}: unknown, {why}")
            continue
        # The first source that knows a fact decides it; they are in the order of trust.
        facts = {key: told.get(key) if value is None else value for key, value in facts.items()}
        notes.append(f"{name}: {', '.join(f'{k}={v}' for k, v in told.items()) or 'unknown'}")
    return DeviceState(**facts, notes=tuple(notes))


def _sources(platform: str) -> tuple[_Source, ...]:
    """Return the sources of one platform, the most trusted first."""
    if platform == "darwin":
        return ("pmset", _pmset), ("ioreg", _ioreg), ("psutil", _psutil)
    if platform == "win32":
        return ("Windows power", _windows_power), ("Windows input", _windows_input)
    return (
        ("UPower", _upower),
        ("logind", _logind),
        ("NetworkManager", _network_manager),
        ("psutil", _psutil),
        ("/sys/class/power_supply", _power_supply),
    )


# --- Linux ---------------------------------------------------------------------------------------


@contextmanager
def _system_bus(service: str) -> Iterator[Callable[[str, str, str], Any]]:
    """Open the system bus; yields ``get(path, interface, property)`` of one service."""
    try:
        from jeepney import DBusAddress, Properties  # noqa: PLC0415 - optional
        from jeepney.io.blocking import open_dbus_connection  # noqa: PLC0415
        from jeepney.wrappers import DBusErrorResponse, unwrap_msg  # noqa: PLC0415
    except ImportError:
        raise _Unknown("jeepney is not installed (pip install 'inhabit[device]')") from None

    try:
        with open_dbus_connection("SYSTEM") as bus:

            def get(path: str, interface: str, name: str) -> Any:
                address = DBusAddress(path, service, interface)
                request = Properties(address).get(name)
                return unwrap_msg(bus.send_and_get_reply(request, timeout=_TIMEOUT_S))[0][1]

            yield get
    except DBusErrorResponse as error:
        raise _Unknown(f"no answer from {service} ({error.name})") from None
    except (OSError, ValueError, KeyError, TimeoutError) as error:
        raise _Unknown(f"no system bus ({error})") from None


def _upower(_: timedelta) -> _Facts:
    service = "org.freedesktop.UPower"
    with _system_bus(service) as get:
        on_battery = bool(get("/org/freedesktop/UPower", service, "OnBattery"))
        display = "/org/freedesktop/UPower/devices/DisplayDevice"
        # WarningLevel: 0 unknown, 1 none, 2 discharging, 3 low, 4 critical, 5 action.
        warning = int(get(display, f"{service}.Device", "WarningLevel"))
    return {
        "external_power": not on_battery,
        "battery_not_low": None if not warning else warning < 3,
    }


def _logind(_: timedelta) -> _Facts:
    service = "org.freedesktop.login1"
    with _system_bus(service) as get:
        # A timer's process belongs to no session; its user's graphical session is the one to ask.
        session = get("/org/freedesktop/login1/user/self", f"{service}.User", "Display")[1]
        if session in ("", "/"):
            raise _Unknown("the user has no graphical session")
        return {
            "device_idle": bool(get(session, f"{service}.Session", "IdleHint")),
            "locked": bool(get(session, f"{service}.Session", "LockedHint")),
        }


def _network_manager(_: timedelta) -> _Facts:
    service = "org.freedesktop.NetworkManager"
    path = "/org/freedesktop/NetworkManager"
    with _system_bus(service) as get:
        if int(get(path, service, "State")) < 60:  # below NM_STATE_CONNECTED_SITE
            return {"unmetered_network": False}
        # NMMetered: 0 unknown, 1 yes, 2 no, 3 guess yes, 4 guess no.
        metered = int(get(path, service, "Metered"))
    return {"unmetered_network": {1: False, 3: False, 2: True, 4: True}.get(metered)}


def _power_supply(_: timedelta) -> _Facts:
    if not _POWER_SUPPLY.is_dir():
        raise _Unknown("the folder does not exist")
    supplies = [_attributes(folder) for folder in sorted(_POWER_SUPPLY.iterdir())]
    batteries = [s for s in supplies if s.get("type") == "Battery" and s.get("scope") != "Device"]
    if not batteries:  # a machine without a battery runs on mains
        return {"external_power": True, "battery_not_low": True}
    mains = [s["online"] == "1" for s in supplies if s.get("type") != "Battery" and "online" in s]
    draining = any(s.get("status") == "Discharging" for s in batteries)
    levels = [int(s["capacity"]) for s in batteries if s.get("capacity", "").isdigit()]
    return {
        "external_power": any(mains) if mains else not draining,
        "battery_not_low": max(levels) > _LOW_BATTERY_PERCENT if levels else None,
    }


def _attributes(folder: Path) -> dict[str, str]:
    """Read the attributes of one power supply that are there and readable."""
    found = {}
    for name in ("type", "scope", "online", "status", "capacity"):
        try:
            found[name] = (folder / name).read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            continue
    return found


# --- macOS ---------------------------------------------------------------------------------------


def _pmset(_: timedelta) -> _Facts:
    return _parse_pmset(_output("/usr/bin/pmset", "-g", "batt"))


def _parse_pmset(text: str) -> _Facts:
    """Read ``Now drawing from 'AC Power'`` and ``-InternalBattery-0 ... 87%; charging``."""
    source = re.search(r"Now drawing from '(.+?)'", text)
    if source is None:
        raise _Unknown("pmset did not name a power source")
    levels = [float(percent) for percent in re.findall(r"(\d+)%", text)]
    return {
        "external_power": source[1] == "AC Power",
        "battery_not_low": max(levels) > _LOW_BATTERY_PERCENT if levels else True,
    }


def _ioreg(idle_after: timedelta) -> _Facts:
    return {
        **_parse_idle(_output("/usr/sbin/ioreg", "-c", "IOHIDSystem", "-d", "4"), idle_after),
        **_parse_locked(_output("/usr/sbin/ioreg", "-n", "Root", "-d", "1")),
    }


def _parse_idle(text: str, idle_after: timedelta) -> _Facts:
    """Read ``"HIDIdleTime" = 1234567890`` (nanoseconds since the last input)."""
    idle = re.search(r'"HIDIdleTime"\s*=\s*(\d+)', text)
    seconds = None if idle is None else int(idle[1]) / 1e9
    return {"device_idle": None if seconds is None else seconds >= idle_after.total_seconds()}


def _parse_locked(text: str) -> _Facts:
    """Read ``"IOConsoleLocked" = No``; older systems do not tell."""
    locked = re.search(r'"IOConsoleLocked"\s*=\s*(Yes|No)', text)
    return {"locked": None if locked is None else locked[1] == "Yes"}


def _output(*command: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - fixed programs of the system, fixed arguments
            command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise _Unknown(f"{command[0]} did not answer ({type(error).__name__})") from None
    return done.stdout


# --- Windows -------------------------------------------------------------------------------------


class _SystemPowerStatus(ctypes.Structure):
    """``SYSTEM_POWER_STATUS`` of the Windows API."""

    _fields_ = (
        ("ac_line_status", ctypes.c_ubyte),
        ("battery_flag", ctypes.c_ubyte),
        ("battery_life_percent", ctypes.c_ubyte),
        ("system_status_flag", ctypes.c_ubyte),
        ("battery_life_time", ctypes.c_uint32),
        ("battery_full_life_time", ctypes.c_uint32),
    )


class _LastInputInfo(ctypes.Structure):
    """``LASTINPUTINFO`` of the Windows API; ``time`` in milliseconds since the start."""

    _fields_ = (("size", ctypes.c_uint32), ("time", ctypes.c_uint32))


def _windll() -> Any:
    libraries = getattr(ctypes, "windll", None)  # exists on Windows only
    if libraries is None:
        raise _Unknown("this is not Windows")
    return libraries


def _windows_power(_: timedelta) -> _Facts:
    status = _SystemPowerStatus()
    if not _windll().kernel32.GetSystemPowerStatus(ctypes.byref(status)):
        raise _Unknown("GetSystemPowerStatus failed")
    no_battery, unknown = 128, 255
    level = status.battery_life_percent
    full_enough = None if level == unknown else level > _LOW_BATTERY_PERCENT
    without = status.battery_flag != unknown and bool(status.battery_flag & no_battery)
    return {
        "external_power": {0: False, 1: True}.get(status.ac_line_status),
        "battery_not_low": True if without else full_enough,
    }


def _windows_input(idle_after: timedelta) -> _Facts:
    last = _LastInputInfo(size=ctypes.sizeof(_LastInputInfo))
    libraries = _windll()
    if not libraries.user32.GetLastInputInfo(ctypes.byref(last)):
        raise _Unknown("GetLastInputInfo failed")
    # Both count milliseconds in 32 bits and wrap after 49.7 days; so does their difference.
    idle_ms = (libraries.kernel32.GetTickCount() - last.time) & 0xFFFFFFFF
    return {"device_idle": idle_ms >= idle_after.total_seconds() * 1000.0}


# --- any system ----------------------------------------------------------------------------------


def _psutil(_: timedelta) -> _Facts:
    try:
        import psutil  # noqa: PLC0415 - optional
    except ImportError:
        raise _Unknown("psutil is not installed (pip install 'inhabit[device]')") from None
    try:
        battery = psutil.sensors_battery()
    except (AttributeError, NotImplementedError):  # not on every system
        battery = None
    if battery is None:
        raise _Unknown("it found no battery")
    return {
        "external_power": battery.power_plugged,
        "battery_not_low": battery.percent > _LOW_BATTERY_PERCENT,
    }

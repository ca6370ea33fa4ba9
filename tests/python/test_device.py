"""The probe of the device: every platform's answers from recorded text, a fake bus, a fake API."""

from __future__ import annotations

import ctypes
import socket
import threading
from datetime import timedelta
from types import SimpleNamespace

import psutil
import pytest
from jeepney import MessageType, Parser
from jeepney.wrappers import new_error, new_method_return

from inhabit import device
from inhabit.device import probe
from inhabit.scheduling import DeviceState

SESSION = "/org/freedesktop/login1/session/_32"
NM = ("/org/freedesktop/NetworkManager", "org.freedesktop.NetworkManager")


class FakeBus:
    """A message bus with some properties and nothing else: real D-Bus over a real socket."""

    def __init__(self, path, properties):
        self.properties = properties
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen()
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join()

    def serve(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            with client:
                self.talk(client)

    def talk(self, client):
        received = b""
        while b"BEGIN\r\n" not in received:  # SASL: accept whoever comes
            received += client.recv(4096)
            if received.count(b"\r\n") == 1 and b"AUTH" in received:
                client.sendall(b"OK 1234deadbeef\r\n")
                received = b""
        parser = Parser()
        parser.add_data(received.split(b"BEGIN\r\n", 1)[1])
        serial = 0
        while True:
            while (message := parser.get_next_message()) is not None:
                serial += 1
                client.sendall(self.answer(message).serialise(serial=serial))
            data = client.recv(4096)
            if not data:
                return
            parser.add_data(data)

    def answer(self, message):
        fields = {field.name: value for field, value in message.header.fields.items()}
        assert message.header.message_type is MessageType.method_call
        if fields["member"] == "Hello":
            return new_method_return(message, "s", (":1.1",))
        try:
            value = self.properties[fields["path"], *message.body]
        except KeyError:
            return new_error(message, "org.freedesktop.DBus.Error.ServiceUnknown")
        return new_method_return(message, "v", (value,))


@pytest.fixture
def bus(tmp_path, monkeypatch):
    """Return a function that starts a fake system bus with the given properties."""
    started = []

    def start(properties):
        path = tmp_path / "bus"
        started.append(FakeBus(path, properties))
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={path}")

    monkeypatch.setattr(device.sys, "platform", "linux")
    monkeypatch.setattr(device, "_POWER_SUPPLY", tmp_path / "power_supply")
    monkeypatch.setattr(psutil, "sensors_battery", lambda: None)
    yield start
    for one in started:
        one.close()


def upower(*, on_battery, warning=1):
    path, name = "/org/freedesktop/UPower", "org.freedesktop.UPower"
    return {
        (path, name, "OnBattery"): ("b", on_battery),
        (f"{path}/devices/DisplayDevice", f"{name}.Device", "WarningLevel"): ("u", warning),
    }


def logind(*, idle, locked, session=SESSION):
    name = "org.freedesktop.login1"
    return {
        ("/org/freedesktop/login1/user/self", f"{name}.User", "Display"): ("(so)", ("2", session)),
        (session, f"{name}.Session", "IdleHint"): ("b", idle),
        (session, f"{name}.Session", "LockedHint"): ("b", locked),
    }


def network(*, metered, state=70):
    return {(*NM, "State"): ("u", state), (*NM, "Metered"): ("u", metered)}


def test_linux_desktop_over_the_bus(bus):
    """UPower, logind and NetworkManager answer all five facts."""
    bus({**upower(on_battery=False), **logind(idle=True, locked=True), **network(metered=2)})
    state = probe()
    assert state == DeviceState(
        external_power=True,
        unmetered_network=True,
        device_idle=True,
        locked=True,
        battery_not_low=True,
        notes=state.notes,
    )
    assert len(state.notes) == 5


@pytest.mark.parametrize(
    ("metered", "unmetered"), [(0, None), (1, False), (2, True), (3, False), (4, True)]
)
def test_metered(bus, metered, unmetered):
    """A guessed yes counts as metered; unknown stays unknown."""
    bus(network(metered=metered))
    assert probe().unmetered_network is unmetered


def test_no_network_is_not_unmetered(bus):
    """Without a connection there is no Wi-Fi."""
    bus(network(metered=2, state=20))
    assert probe().unmetered_network is False


@pytest.mark.parametrize(
    ("warning", "fact"), [(0, None), (1, True), (2, True), (3, False), (5, False)]
)
def test_on_battery(bus, warning, fact):
    """On battery there is no external power, and UPower tells when it runs low."""
    bus(upower(on_battery=True, warning=warning))
    state = probe()
    assert (state.external_power, state.battery_not_low) == (False, fact)


def test_services_that_are_not_there(bus):
    """A bus without our services: everything unknown, and said why."""
    bus({})
    state = probe()
    assert set(state.facts().values()) == {None}
    assert all("unknown" in note for note in state.notes)


def test_no_graphical_session(bus):
    """A user without a display: idle and locked stay unknown."""
    bus(logind(idle=True, locked=True, session="/"))
    state = probe()
    assert (state.device_idle, state.locked) == (None, None)
    assert any("graphical session" in note for note in state.notes)


def test_no_bus_at_all(bus, monkeypatch, tmp_path):
    """A server: no bus, no battery, no folder; unknown is an answer."""
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path / 'nothing'}")
    assert set(probe().facts().values()) == {None}


def test_sources_fill_each_others_gaps(bus, monkeypatch):
    """The bus is trusted first; psutil answers only what is still unknown."""
    monkeypatch.setattr(
        psutil, "sensors_battery", lambda: SimpleNamespace(power_plugged=True, percent=5.0)
    )
    bus(upower(on_battery=True, warning=0))
    state = probe()
    assert (state.external_power, state.battery_not_low) == (False, False)


def mains(online):
    return {"type": "Mains", "online": online}


def battery(status, capacity):
    return {"type": "Battery", "status": status, "capacity": capacity}


@pytest.mark.parametrize(("supplies", "power", "level"), [
    ({}, True, True),
    ({"AC": mains("1"), "BAT0": battery("Charging", "80")}, True, True),
    ({"AC": mains("0"), "BAT0": battery("Discharging", "9")}, False, False),
    ({"BAT0": {"type": "Battery", "status": "Discharging"}}, False, None),
    ({"BAT0": battery("Full", "100")}, True, True),
    ({"mouse": {**battery("Discharging", "3"), "scope": "Device"}}, True, True),
])  # fmt: skip
def test_power_supply_folder(bus, supplies, power, level):
    """Linux without a bus: the kernel's own folder; a mouse's battery is not the machine's."""
    bus({})
    for name, attributes in supplies.items():
        for attribute, value in attributes.items():
            file = device._POWER_SUPPLY / name / attribute
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(value + "\n")
    device._POWER_SUPPLY.mkdir(exist_ok=True)
    state = probe()
    assert (state.external_power, state.battery_not_low) == (power, level)


PMSET = """Now drawing from 'Battery Power'
 -InternalBattery-0 (id=4653155)\t87%; discharging; 5:12 remaining present: true
"""
PMSET_MAINS = "Now drawing from 'AC Power'\n"
IOREG = '    | |   "HIDIdleTime" = 400000000000\n'
IOREG_ROOT = '+-o Root  <class IORegistryEntry>\n    "IOConsoleLocked" = Yes\n'


def test_macos(monkeypatch):
    """pmset and ioreg, as they print."""
    texts = {"batt": PMSET, "IOHIDSystem": IOREG, "Root": IOREG_ROOT}
    monkeypatch.setattr(device.sys, "platform", "darwin")
    monkeypatch.setattr(psutil, "sensors_battery", lambda: None)
    monkeypatch.setattr(
        device, "_output", lambda *command: next(t for key, t in texts.items() if key in command)
    )
    state = probe()
    assert state.facts() == {
        "external_power": False,
        "unmetered_network": None,
        "device_idle": True,
        "locked": True,
        "battery_not_low": True,
    }
    assert probe(idle_after=timedelta(minutes=7)).device_idle is False
    texts["batt"], texts["Root"] = PMSET_MAINS, ""
    assert (probe().external_power, probe().locked) == (True, None)
    texts["batt"] = "No batteries"
    assert probe().external_power is None


def test_programs_that_are_missing():
    """A program that is not there is an unknown, not a crash."""
    with pytest.raises(device._Unknown, match="did not answer"):
        device._output("/nonexistent/pmset")


class FakeWindows:
    """The two functions of the Windows API that are asked."""

    def __init__(self, *, ac, flag, percent, last, now):
        self.ac, self.flag, self.percent, self.last, self.now = ac, flag, percent, last, now
        self.kernel32 = self.user32 = self

    def GetSystemPowerStatus(self, reference):  # noqa: N802
        status = reference._obj
        assert ctypes.sizeof(status) == 12
        status.ac_line_status, status.battery_flag = self.ac, self.flag
        status.battery_life_percent = self.percent
        return 1

    def GetLastInputInfo(self, reference):  # noqa: N802
        assert reference._obj.size == 8
        reference._obj.time = self.last
        return 1

    def GetTickCount(self):  # noqa: N802
        return self.now


@pytest.mark.parametrize(("answers", "facts"), [
    ({"ac": 1, "flag": 1, "percent": 90, "last": 0, "now": 400_000}, (True, True, True)),
    ({"ac": 0, "flag": 2, "percent": 9, "last": 0, "now": 1_000}, (False, False, False)),
    ({"ac": 255, "flag": 255, "percent": 255, "last": -1_000, "now": 400_000}, (None, None, True)),
    ({"ac": 1, "flag": 128, "percent": 255, "last": 5, "now": 5}, (True, True, False)),
])  # fmt: skip
def test_windows(monkeypatch, answers, facts):
    """The API's codes, unknown ones and the wrap of the tick count included."""
    monkeypatch.setattr(device.sys, "platform", "win32")
    monkeypatch.setattr(device, "_windll", lambda: FakeWindows(**answers))
    state = probe()
    assert (state.external_power, state.battery_not_low, state.device_idle) == facts


def test_this_machine_answers():
    """Whatever this machine is: a state, notes for each source, and no exception."""
    state = probe()
    assert state.notes
    assert set(state.facts().values()) <= {True, False, None}

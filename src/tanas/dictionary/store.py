"""A dictionary on disk: a folder with a readable folder for each atom."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import filelock
import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from tanas.dictionary.stored_network import StoredNetwork, StoredRecord, known_here, stored_from, tensors_of
from tanas.dictionary.task_record import Atom
from tanas.distances.base import Measurement
from tanas.distances.representative import Representative, representative_from, state_of
from tanas.ground.checkpoints import FolderCheckpoint
from tanas.ground.errors import StoreError, UnknownNameError, nearest_names
from tanas.ground.records import SCHEMA, new_folder, read_marker, read_record, write_json

KIND = "tanas dictionary"
WEIGHTS_FILE, NETWORK_FILE = "representative.safetensors", "network.safetensors"
BUILD_AGAIN = "Remove the atom and build it again."
LOCK_SECONDS = 30
"""An atom is written in well under a second; a longer wait means a dead lock."""


@dataclass(frozen=True, kw_only=True)
class AtomFile:
    """atom.json: the atom and the hashes of its weights."""

    weights_sha256: str
    atom: Atom
    kept_sha256: str | None = None
    """Of the trained network; None: there is none."""


class Dictionary:
    """The memory of tasks.

    `FOLDER/dictionary.json` marks the folder, `FOLDER/atoms/NAME-KEY/` holds an atom (atom.json,
    representative.safetensors, network.safetensors), `FOLDER/distances/` measured distances and `FOLDER/unfinished/`
    the state of atoms in the making; the last two can be deleted at any time.
    """

    def __init__(
        self, folder: Path, *, base: Dictionary | None = None, may_be_new: bool = False, ships: bool = False
    ) -> None:
        """Open a dictionary.

        Args:
            folder: made by `create`.
            base: another dictionary whose atoms are seen too; new atoms are added to this one.
            may_be_new: whether a missing or empty folder is a dictionary without atoms. Nothing is written before
                `settle`.
            ships: whether it is the starter memory, which comes with tanas.

        Raises:
            StoreError: the folder holds something else, or a dictionary of another version.
        """
        self.folder = folder
        self.base = base
        self.ships = ships
        self._known: dict[str, tuple[int, AtomFile]] = {}
        self._marker = folder / "dictionary.json"
        if not (may_be_new and self._can_be_made()):
            read_marker(self._marker, KIND, make="tanas dictionary build")

    @classmethod
    def create(cls, folder: Path, *, base: Dictionary | None = None) -> Dictionary:
        """Open the dictionary in a folder; make it if the folder is missing or empty."""
        dictionary = cls(folder, base=base, may_be_new=True)
        dictionary.settle()
        return dictionary

    @property
    def described(self) -> str:
        """Where its atoms are, for messages: the folder that a person named."""
        if self.base is None:
            return str(self.folder)
        return f"{self.folder} and the starter memory" if self.base.ships else self.base.described

    @property
    def knows_starter(self) -> bool:
        """Whether the atoms of the starter memory are seen."""
        return self.ships or (self.base is not None and self.base.knows_starter)

    def lends(self, atom: Atom) -> bool:
        """Whether an atom belongs to the starter memory, not to the user."""
        if self._folder_of(atom).exists():
            return self.ships
        return self.base is not None and self.base.lends(atom)

    @property
    def settled(self) -> bool:
        """Whether its folder is marked."""
        return self._marker.exists()

    def settle(self) -> None:
        """Make the folder of a new dictionary, or raise a `StoreError` if it can't be written."""
        if not self.settled:
            write_json(self._marker, {"kind": KIND, "schema": SCHEMA})

    def atoms(self) -> tuple[Atom, ...]:
        """All atoms, sorted by name and key; a `StoreError` names a damaged one."""
        own = {atom.key: atom for atom in (self._read(folder).atom for folder in self._folders())}
        if self.base is not None:
            own = {atom.key: atom for atom in self.base.atoms()} | own
        return tuple(sorted(own.values(), key=lambda atom: (atom.task.name, atom.key)))

    def names(self) -> dict[str, Atom]:
        """Every atom by a unique name: its task's, with '~' and a short key if several atoms share it."""
        atoms = self.atoms()
        shared = [atom.task.name for atom in atoms]
        return {
            atom.task.name if shared.count(atom.task.name) == 1 else f"{atom.task.name}~{atom.key[:4]}": atom
            for atom in atoms
        }

    def find(self, name: str) -> Atom:
        """The atom of a name; an `UnknownNameError` if no atom has it, or several."""
        names = self.names()
        if name in names:
            return names[name]
        if several := [known for known in names if known.startswith(f"{name}~")]:
            raise UnknownNameError(f"'{name}' stands for several atoms. Name one: {', '.join(several)}.")
        raise UnknownNameError(f"Unknown task '{name}' in {self.folder}. {nearest_names(name, names)}")

    def get(self, key: str) -> Atom | None:
        """The atom of a key; None: unknown."""
        return next((atom for atom in self.atoms() if atom.key == key), None)

    def representative(self, atom: Atom) -> Representative:
        """The trained representative of an atom; a `StoreError` if its weights are missing or damaged."""
        folder = self._folder_of(atom)
        if not folder.exists() and self.base is not None:
            return self.base.representative(atom)
        return representative_from(atom.representative, self._weights(folder))

    def network_hash(self, atom: Atom) -> str | None:
        """The hash of the weights of an atom's trained network; None: it keeps none."""
        folder = self._folder_of(atom)
        if not folder.exists() and self.base is not None:
            return self.base.network_hash(atom)
        return self._read(folder).kept_sha256

    def network(self, atom: Atom) -> StoredNetwork | None:
        """The trained network of an atom, if it keeps one; a `StoreError` if its weights are missing or damaged."""
        folder = self._folder_of(atom)
        if atom.kept is not None and not folder.exists() and self.base is not None:
            return self.base.network(atom)
        return None if atom.kept is None else self._kept(folder, atom.kept)

    def add(
        self,
        atom: Atom,
        representative: Representative,
        network: StoredNetwork | None = None,
        *,
        merged: Callable[[Atom, Atom | None], Atom] | None = None,
    ) -> None:
        """Add an atom, or replace the one with the same key; whole or not at all.

        Args:
            atom: the record of the task.
            representative: described by the atom.
            network: described by the atom, if it keeps one.
            merged: (new atom, the one that it replaces) -> the atom to keep, called while no other process can write;
                None: the new one.

        Raises:
            StoreError: atom, representative and network don't belong together, or the folder can't be written.
        """
        record, tensors = state_of(representative)
        if record != atom.representative:
            raise StoreError(
                f"The atom {atom.task.name} describes another representative than the one given."
            )
        if atom.kept != (None if network is None else network.record):
            raise StoreError(
                f"The atom {atom.task.name} describes another trained network than the one given."
            )
        trained = None if network is None else safetensors.torch.save(tensors_of(network))
        content = safetensors.torch.save(tensors)
        place = self._folder_of(atom)
        with self._locked():
            if merged is not None:
                atom = merged(atom, self.get(atom.key))
            with new_folder(place) as folder:
                (folder / WEIGHTS_FILE).write_bytes(content)
                if trained is not None:
                    (folder / NETWORK_FILE).write_bytes(trained)
                kept = None if trained is None else hashlib.sha256(trained).hexdigest()
                file = AtomFile(
                    weights_sha256=hashlib.sha256(content).hexdigest(), atom=atom, kept_sha256=kept
                )
                write_json(folder / "atom.json", file)
            for other in self._folders():  # the same data under another name
                same = other != place and other.name.endswith(place.name[-9:])
                if same and self._read(other).atom.key == atom.key:
                    self._discard(other)

    def remove(self, name: str) -> None:
        """Remove an atom by its name, or raise an `UnknownNameError`."""
        folder = self._folder_of(self.find(name))
        if not folder.exists():
            raise UnknownNameError(
                f"'{name}' belongs to the dictionary below {self.folder}. Remove it there."
            )
        with self._locked():
            self._discard(folder)

    def verify(self) -> tuple[str, ...]:
        """Read everything and rebuild every network; return a sentence for each problem."""
        problems = []
        for folder in self._folders():
            try:
                atom = self._read(folder).atom
                representative_from(atom.representative, self._weights(folder))
                if atom.kept is not None and known_here(atom.kept):
                    self._kept(folder, atom.kept)
                if folder != self._folder_of(atom):
                    problems.append(
                        f"{folder} holds the atom {atom.task.name}, whose folder has another name."
                    )
            except (StoreError, RuntimeError) as error:
                problems.append(str(error))
        for path in sorted(self._measurements.glob("[!.]*")):
            try:
                read_record(Measurement, path)
            except StoreError as error:
                problems.append(f"{error} Delete it: the distance is measured again.")
        return tuple(problems)

    def unfinished(self, key: str) -> FolderCheckpoint:
        """The state of an atom in the making."""
        return FolderCheckpoint(self.folder / "unfinished" / key)

    @contextmanager
    def making(self, key: str, *, waits: Callable[[], None]) -> Iterator[bool]:
        """Keep other processes from making the atom of a key; yield whether it is still missing.

        First wait for a process that makes it already; `waits` is called once in that case.
        """
        path = self.folder / "unfinished" / f"{key}.lock"
        lock = filelock.FileLock(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire(timeout=0)
            except filelock.Timeout:
                waits()
                lock.acquire()
        except OSError as error:
            raise self._read_only(error) from error
        try:
            yield self.get(key) is None
        finally:
            lock.release()
        if self.get(key) is not None:  # the next holder of the lock finds the atom
            with suppress(PermissionError):  # on Windows, if another process waits: that one removes it
                path.unlink(missing_ok=True)

    def measured(self, key: str) -> Measurement | None:
        """The stored distance of a key; None if there is none, or if it can't be read."""
        with suppress(StoreError):
            return read_record(Measurement, self._measurements / f"{key}.json")
        return None

    def remember_distance(self, key: str, measurement: Measurement) -> None:
        """Store a measured distance."""
        write_json(self._measurements / f"{key}.json", measurement)

    @property
    def _measurements(self) -> Path:
        return self.folder / "distances"

    def _can_be_made(self) -> bool:
        """Whether the folder is missing or empty; False: it is a dictionary. Raises if it holds something else."""
        if self.settled:
            return False
        try:
            if not self.folder.exists() or all(entry.name.startswith(".") for entry in self.folder.iterdir()):
                return True
        except OSError as error:
            raise StoreError(
                f"{self.folder} can't be a dictionary: {error.strerror}. Name a folder."
            ) from error
        if not self.settled:  # another process may have just made it
            raise StoreError(
                f"{self.folder} is not empty and holds no dictionary. Name an empty or a new folder for a dictionary."
            )
        return False

    def _folders(self) -> tuple[Path, ...]:
        return tuple(sorted((self.folder / "atoms").glob("[!.]*")))

    def _discard(self, folder: Path) -> None:
        """Remove an atom's folder, for its readers at once."""
        hidden = folder.with_name(f".{folder.name}.removed")
        os.replace(folder, hidden)
        shutil.rmtree(hidden)

    def _sweep(self) -> None:
        """Finish, under the lock, what a killed process began."""
        for left in (self.folder / "atoms").glob(".*"):
            place = left.with_name(left.name.split(".")[1])
            if left.suffix == ".old" and not place.exists():
                os.replace(left, place)  # killed before the new folder took its place
            elif left.suffix in (".old", ".part", ".removed"):
                shutil.rmtree(left)

    def _folder_of(self, atom: Atom) -> Path:
        slug = re.sub(r"[^A-Za-z0-9]+", "-", atom.task.name).strip("-")[:60]
        return self.folder / "atoms" / f"{slug}-{atom.key[:8]}"

    def _read(self, folder: Path) -> AtomFile:
        path = folder / "atom.json"
        if not path.exists():
            raise StoreError(f"The atom folder {folder} is damaged: it has no atom.json. Delete the folder.")
        stamp = path.stat().st_mtime_ns
        known = self._known.get(folder.name)
        if known is None or known[0] != stamp:
            known = self._known[folder.name] = (stamp, read_record(AtomFile, path))
        return known[1]

    def _weights(self, folder: Path) -> dict[str, Tensor]:
        return _tensors(folder / WEIGHTS_FILE, self._read(folder).weights_sha256)

    def _kept(self, folder: Path, record: StoredRecord) -> StoredNetwork:
        path = folder / NETWORK_FILE
        tensors = _tensors(path, self._read(folder).kept_sha256)
        try:
            return stored_from(record, tensors)
        except StoreError as error:
            raise StoreError(f"{path} is damaged. {error} {BUILD_AGAIN}") from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            with filelock.FileLock(self.folder / ".lock", timeout=LOCK_SECONDS):
                self._sweep()
                yield
        except filelock.Timeout as error:
            message = f"The dictionary {self.folder} is being written by another process. Try again."
            raise StoreError(message) from error
        except OSError as error:
            if isinstance(error, StoreError):
                raise
            raise self._read_only(error) from error

    def _read_only(self, error: OSError) -> StoreError:
        return StoreError(f"The dictionary {self.folder} can't be written: {error.strerror}.")


def _tensors(path: Path, expected: str | None) -> dict[str, Tensor]:
    """The tensors of a file with that hash."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StoreError(f"{path} can't be read: {error.strerror}. {BUILD_AGAIN}") from error
    if hashlib.sha256(content).hexdigest() != expected:
        raise StoreError(f"{path} is damaged: its hash differs. {BUILD_AGAIN}")
    try:
        return safetensors.torch.load(content)
    except SafetensorError as error:
        raise StoreError(f"{path} is damaged: {error}. {BUILD_AGAIN}") from error

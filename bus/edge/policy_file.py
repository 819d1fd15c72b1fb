"""The readable policy (YAML) -> PolicyDocument. Refuses rather than guesses; complaints name the line.

    version: 1
    trust_domain: bus.gov.example
    alarm_after: 6h                       # optional; age at which a snapshot grows loud
    refuse_after: 24h                     # optional; age at which it refuses
    subsystems:
      - id: gov/ndc/broker-1              # <class>/<member>/<subsystem>
        broker: true                      # optional, default false
        active: true                      # optional, default true
        endpoints: ["127.0.0.1:7443"]     # where it listens; several are balanced
        certificates:                     # live TLS certificates
          - broker-1/chain.pem            # a PEM file, its first certificate; or
          - {sha256: 9f..., not_after: 2026-11-22T00:00:00Z}
        quota: {calls_per_second: 500, burst: 1000}   # optional: what it may call as a peer, over all grants
        keys:                             # signing keys: SPKI in PEM, validity
          - {spki: broker-1/signing.pem, not_before: 2026-11-21T00:00:00Z, not_after: 2027-11-21T00:00:00Z}
    descriptors: [contracts.binpb]        # optional: FileDescriptorSets whose services' methods are all listed
    methods:
      - {path: /vn.population.v1.PopulationService/GetPerson, kind: unary, max_lifetime: 30s, idempotent: true}
    grants:
      - id: grant-7
        client: gov/moj/civil-status
        provider: gov/mps/population
        methods: [/vn.population.v1.PopulationService/GetPerson]    # or /vn.population.v1.PopulationService/*
        purposes: [civil.birth]
        not_before: 2026-11-21T00:00:00Z
        not_after: 2027-11-21T00:00:00Z
        operator_made: true               # optional, default false: not signed by the members themselves
        quota: {calls_per_second: 100, burst: 200, calls_per_day: 100000, bytes_per_day: 1000000000}   # optional
    agents:
      - {agent: gov/mps/agent, for: [gov/mps/population]}

Files are named relative to the YAML file; reading them is the caller's: `read` gives the bytes of a name. Quotas are
the whole bus's; what is read has one broker's share of them (bus.edge.quota_share).
"""

import re
from collections.abc import Callable, Mapping
from typing import Final

from bus.edge.endpoint import Endpoint, EndpointError, parse_endpoint
from bus.edge.policy_methods import DescriptorError, methods_of
from bus.edge.policy_model import PolicyDocument
from bus.edge.policy_pem import PemError, parse_certificate_pem, parse_signing_key_pem
from bus.edge.quota_share import divided
from bus.edge.yaml_reader import Node, YamlFileError, parse_yaml
from native.policy import Agent, Certificate, Grant, Method, MethodKind, PolicyTables, SigningKey, Subsystem
from pki.identity import IdentityError, SubsystemId, verify_same_member, verify_trust_domain

__all__ = ["ReadFile", "YamlFileError", "parse_policy"]

ReadFile = Callable[[str], bytes]

_METHOD: Final = re.compile(r"/[A-Za-z0-9_.]+/[A-Za-z0-9_]+", re.ASCII)
_METHOD_OR_ALL: Final = re.compile(r"/[A-Za-z0-9_.]+/(?:[A-Za-z0-9_]+|\*)", re.ASCII)
_TOKEN: Final = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_PURPOSE: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)
_HASH: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_DEFAULT_ALARM_MS: Final = 6 * 3_600_000
_DEFAULT_REFUSE_MS: Final = 24 * 3_600_000
_MAX_LIFETIME_MS: Final = 300_000
_SUBSYSTEM: Final = ("broker", "active", "endpoints", "certificates", "keys", "quota")
_KINDS: Final = ("unary", "server_stream", "client_stream")
_U32: Final = 2**32 - 1
_RATE: Final = {"calls_per_second": _U32, "burst": _U32}
_QUOTA: Final = _RATE | {"calls_per_day": 10**15, "bytes_per_day": 10**15}


def parse_policy(data: bytes, *, name: str, read: ReadFile) -> PolicyDocument:
    """Read and check the whole policy; YamlFileError at the first line that is wrong."""
    root = parse_yaml(data, name=name)
    top = root.mapping(
        required=("version", "trust_domain", "subsystems", "grants"),
        optional=("alarm_after", "refuse_after", "descriptors", "methods", "agents"),
    )
    top["version"].integer(1, 1)
    reader = _Reader(_trust_domain(top["trust_domain"]), read)
    reader.read_subsystems(top["subsystems"])
    reader.read_descriptors(top.get("descriptors"))
    reader.read_methods(top.get("methods"))
    grants = tuple(reader.grant(node) for node in top["grants"].items())
    _refuse_repeated_grants(top["grants"], grants)
    agents = tuple(agent for node in _entries(top, "agents") for agent in reader.agents(node))
    alarm = top["alarm_after"].duration_ms() if "alarm_after" in top else _DEFAULT_ALARM_MS
    refuse = top["refuse_after"].duration_ms() if "refuse_after" in top else _DEFAULT_REFUSE_MS
    if alarm > refuse:
        root.fail("alarm_after is later than refuse_after; it must come first")
    tables = PolicyTables(
        subsystems=tuple(reader.subsystems.values()),
        certificates=tuple(reader.certificates),
        keys=tuple(reader.keys),
        methods=tuple(reader.methods.values()),
        grants=grants,
        agents=agents,
    )
    return PolicyDocument(reader.trust_domain, alarm, refuse, divided(tables), reader.endpoints)


class _Reader:
    """Collects what later sections refer to. A key or certificate belongs to one subsystem for ever."""

    def __init__(self, trust_domain: str, read: ReadFile) -> None:
        self.trust_domain = trust_domain
        self.subsystems: dict[SubsystemId, Subsystem] = {}
        self.endpoints: dict[str, tuple[Endpoint, ...]] = {}
        self.certificates: list[Certificate] = []
        self.keys: list[SigningKey] = []
        self.methods: dict[str, Method] = {}
        self._read = read
        self._owners: dict[bytes, SubsystemId] = {}

    def read_subsystems(self, section: Node) -> None:
        for node in section.items():
            entry = node.mapping(required=("id",), optional=_SUBSYSTEM)
            identity = self._identity(entry["id"])
            if identity in self.subsystems:
                entry["id"].fail(f"{identity.path} is listed a second time; merge both entries")
            is_broker = entry["broker"].boolean() if "broker" in entry else False
            if is_broker and "quota" in entry:
                entry["quota"].fail("a broker passes on what others call; limit them")
            endpoints = tuple(_endpoint(one) for one in _entries(entry, "endpoints"))
            if endpoints:
                self.endpoints[identity.spiffe_id] = endpoints
            self.subsystems[identity] = Subsystem(
                id=identity.spiffe_id,
                member=identity.spiffe_id.removesuffix(identity.subsystem),
                active=entry["active"].boolean() if "active" in entry else True,
                is_broker=is_broker,
                # Envoy's cluster of a provider is called by the provider's DNS name (bus.edge.envoy_clusters).
                cluster=identity.dns_name if endpoints and not is_broker else "",
                **_quota(entry.get("quota"), _RATE),
            )
            self.certificates += [self._certificate(one, identity) for one in _entries(entry, "certificates")]
            self.keys += [self._key(one, identity) for one in _entries(entry, "keys")]

    def read_descriptors(self, section: Node | None) -> None:
        for node in section.items() if section else ():
            try:
                found = methods_of(self._file(node))
            except DescriptorError as error:
                node.fail(str(error))
            for method in found:
                self._add_method(node, method)

    def read_methods(self, section: Node | None) -> None:
        for node in section.items() if section else ():
            entry = node.mapping(required=("path", "kind", "max_lifetime"), optional=("idempotent",))
            path = entry["path"].text(_METHOD, "write a method as /package.Service/Method")
            lifetime = entry["max_lifetime"].duration_ms()
            if lifetime > _MAX_LIFETIME_MS:
                entry["max_lifetime"].fail("at most 5m")
            idempotent = entry["idempotent"].boolean() if "idempotent" in entry else False
            kind = MethodKind[entry["kind"].choice(_KINDS).upper()]
            self._add_method(entry["path"], Method(path, kind, lifetime, idempotent))

    def grant(self, node: Node) -> Grant:
        entry = node.mapping(
            required=("id", "client", "provider", "methods", "purposes", "not_before", "not_after"),
            optional=("operator_made", "quota"),
        )
        client, provider = self._listed(entry["client"]), self._listed(entry["provider"])
        if self.subsystems[client].is_broker or self.subsystems[provider].is_broker:
            node.fail("a broker is neither client nor provider of a grant; name the subsystems behind it")
        not_before, not_after = _validity(entry)
        return Grant(
            grant_id=entry["id"].text(_TOKEN, "a grant id is 1-64 of letters, digits and . _ -"),
            client=client.spiffe_id,
            provider=provider.spiffe_id,
            methods=self._granted_methods(entry["methods"]),
            purposes=_unique(entry["purposes"], _PURPOSE, "a purpose is 1-64 of a-z, 0-9 and . _ -"),
            not_before_ms=not_before,
            not_after_ms=not_after,
            operator_made=entry["operator_made"].boolean() if "operator_made" in entry else False,
            **_quota(entry.get("quota"), _QUOTA),
        )

    def agents(self, node: Node) -> list[Agent]:
        entry = node.mapping(required=("agent", "for"))
        agent = self._listed(entry["agent"])
        result = []
        for one in entry["for"].items():
            client = self._listed(one)
            try:
                verify_same_member(agent, client)
            except IdentityError:
                one.fail("an agent acts for subsystems of its own member only")
            result.append(Agent(agent.spiffe_id, client.spiffe_id))
        return result

    def _granted_methods(self, section: Node) -> tuple[str, ...]:
        found: dict[str, None] = {}
        for node in section.items():
            path = node.text(_METHOD_OR_ALL, "write /package.Service/Method, or /package.Service/* for all of it")
            chosen = [path]
            if path.endswith("/*"):
                chosen = [one for one in self.methods if one.startswith(path[:-1])]
            if not chosen or chosen[0] not in self.methods:
                node.fail("no such method: list it under methods, or its contract under descriptors")
            found.update(dict.fromkeys(chosen))
        if not found:
            section.fail("name at least one method")
        return tuple(found)

    def _add_method(self, node: Node, method: Method) -> None:
        if method.path in self.methods:
            node.fail(f"{method.path} is listed a second time; keep one")
        self.methods[method.path] = method

    def _identity(self, node: Node) -> SubsystemId:
        parts = node.text().split("/")
        if len(parts) != 3:
            node.fail("write a subsystem as <class>/<member>/<subsystem>")
        try:
            return SubsystemId(self.trust_domain, *parts)
        except IdentityError as error:
            node.fail(str(error))

    def _listed(self, node: Node) -> SubsystemId:
        identity = self._identity(node)
        if identity not in self.subsystems:
            node.fail(f"{identity.path} is not listed under subsystems; add it there")
        return identity

    def _certificate(self, node: Node, owner: SubsystemId) -> Certificate:
        if node.is_mapping:
            entry = node.mapping(required=("sha256", "not_after"))
            digest = entry["sha256"].text(_HASH, "write the SHA-256 of the DER certificate as 64 lower-case hex digits")
            certificate = Certificate(bytes.fromhex(digest), owner.spiffe_id, entry["not_after"].time_ms())
        else:
            try:
                certificate = parse_certificate_pem(self._file(node), owner)
            except PemError as error:
                node.fail(str(error))
        self._claim(node, certificate.digest, owner)
        return certificate

    def _key(self, node: Node, owner: SubsystemId) -> SigningKey:
        entry = node.mapping(required=("spki", "not_before", "not_after"))
        try:
            key_id, point = parse_signing_key_pem(self._file(entry["spki"]))
        except PemError as error:
            entry["spki"].fail(str(error))
        self._claim(entry["spki"], key_id, owner)
        not_before, not_after = _validity(entry)
        return SigningKey(key_id, point, owner.spiffe_id, not_before, not_after)

    def _claim(self, node: Node, thing: bytes, owner: SubsystemId) -> None:
        if thing in self._owners:
            node.fail(f"already listed for {self._owners[thing].path}; a key or certificate has one owner, once")
        self._owners[thing] = owner

    def _file(self, node: Node) -> bytes:
        try:
            return self._read(node.text(hint="expected a file name"))
        except OSError as error:
            node.fail(f"cannot read this file ({error.strerror}); paths are relative to the policy file")


def _trust_domain(node: Node) -> str:
    try:
        return verify_trust_domain(node.text())
    except IdentityError as error:
        node.fail(str(error))


def _entries(entry: Mapping[str, Node], key: str) -> list[Node]:
    return list(entry[key].items()) if key in entry else []


def _endpoint(node: Node) -> Endpoint:
    try:
        return parse_endpoint(node.text())
    except EndpointError as error:
        node.fail(str(error))


def _validity(entry: Mapping[str, Node]) -> tuple[int, int]:
    not_before, not_after = entry["not_before"].time_ms(), entry["not_after"].time_ms()
    if not_before >= not_after:
        entry["not_after"].fail("ends before it starts; make not_after later than not_before")
    return not_before, not_after


def _unique(section: Node, pattern: re.Pattern[str], hint: str) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for node in section.items():
        value = node.text(pattern, hint)
        if value in found:
            node.fail("stands here a second time; keep one")
        found[value] = None
    if not found:
        section.fail("name at least one")
    return tuple(found)


def _quota(node: Node | None, limits: Mapping[str, int]) -> dict[str, int]:
    entry = node.mapping(optional=tuple(limits)) if node else {}
    return {key: value.integer(0, limits[key]) for key, value in entry.items()}


def _refuse_repeated_grants(section: Node, grants: tuple[Grant, ...]) -> None:
    seen: set[str] = set()
    for node, grant in zip(section.items(), grants, strict=True):
        if grant.grant_id in seen:
            node.fail(f"grant {grant.grant_id} is listed a second time; give it an id of its own")
        seen.add(grant.grant_id)

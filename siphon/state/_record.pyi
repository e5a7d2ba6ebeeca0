from typing import final

@final
class Claim:
    kind: int
    branch: int
    slot: int
    generation: int
    runs: int
    deadline: float
    def __init__(self, kind: int, branch: int, slot: int, generation: int, runs: int, deadline: float) -> None: ...

class Client:
    state: int
    resend_at: float
    interval: float
    timeout_at: float
    end_at: float

@final
class Branch(Client):
    index: int
    ip: str
    port: int
    listener: int
    local_ip: str
    uri: bytes
    splices: bytes
    others: bytes
    moved: bool
    last_status: int
    provisional: bool
    result: int
    local: bool
    order: int
    judging: bool
    dropped: bool
    response: bytes
    ring_at: float
    timer_c_at: float
    cancel: Client | None
    cancel_by: int
    cancel_reason: bytes
    give_up_at: float
    target: int
    def __init__(self, index: int) -> None: ...

@final
class Record:
    key: bytes
    salt: int
    method: str
    invite: bool
    own: bool
    waiter: int
    state: int
    created: float
    wall: float
    script_version: int
    touched: int
    request: bytes
    edits: bytes
    attempt_edits: bytes
    call_id: bytes
    from_tag: bytes
    to_tag: bytes
    cseq: int
    reply_to_tag: bytes
    listener: int
    local_ip: str
    source_ip: str
    source_port: int
    reply_ip: str
    reply_port: int
    last_response: bytes
    final_status: int
    final_sent_at: float
    local_2xx: bool
    trying_at: float
    resend_at: float
    interval: float
    end_at: float
    rseq: int
    prack: bytes
    prack_until: float
    branches: list[Branch]
    next_index: int
    attempts: int
    attempt_first: int
    targets: bytes
    strategy: int
    ring_timeout: float
    record_route: bool
    send_socket: str
    on_reply: str
    on_failure: str
    cancelled: bool
    cancel_at: float
    cancel_reason: bytes
    rejected: int
    vars: bytes
    auth_user: str
    consumed: bytes
    claims: list[Claim]
    def __init__(self, key: bytes, salt: int) -> None: ...
    def branch(self, index: int) -> Branch | None: ...
    def claim(self, kind: int, branch: int = 0) -> Claim | None: ...
    def drop_claim(self, kind: int, branch: int = 0) -> None: ...

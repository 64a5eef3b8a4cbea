from cumulet.auth.keys import AccessKeys
from cumulet.auth.sessions import Sessions
from cumulet.core.clock import ManualClock
from cumulet.store.memory import MemoryStore


async def test_the_first_start_makes_a_root_key_and_later_ones_keep_it():
    store, clock = MemoryStore(), ManualClock()
    first = await AccessKeys.open(store, clock)
    again = await AccessKeys.open(store, clock)
    assert again.root == first.root
    assert again.root.access_key_id.startswith("AKIA") and len(again.root.access_key_id) == 20 and len(again.root.secret_key) == 40
    assert again.find(first.root.access_key_id, None).principal.arn == "arn:aws:iam::000000000000:root"


async def test_a_given_root_key_is_taken():
    store, clock = MemoryStore(), ManualClock()
    keys = await AccessKeys.open(store, clock, ("test", "secret"))
    assert keys.find("test", None).secret_key == "secret"
    assert (await AccessKeys.open(store, clock, ("test", "other"))).find("test", None).secret_key == "other"


async def test_revoked_and_inactive_keys_are_unknown():
    store, clock = MemoryStore(), ManualClock()
    keys = await AccessKeys.open(store, clock)
    key = await keys.create("111111111111", "ann", "AIDA1")
    assert keys.find(key.access_key_id, None).principal.arn == "arn:aws:iam::111111111111:user/ann"
    await keys.set_active(key.access_key_id, False)
    assert keys.find(key.access_key_id, None) is None
    await keys.set_active(key.access_key_id, True)
    await keys.revoke(key.access_key_id)
    assert keys.find(key.access_key_id, None) is None
    assert (await AccessKeys.open(store, clock)).list("111111111111") == []


def test_session_tokens_are_recognised_by_their_secret_alone():
    sessions = Sessions(b"s" * 32)
    issued = sessions.issue_for_role("arn:aws:iam::000000000000:role/path/r", "me", "AROA1", duration_s=60, now_ms=1000)
    key_id = issued.credential.access_key_id
    assert sessions.find(key_id, issued.session_token) == issued.credential
    assert issued.credential.principal.arn == "arn:aws:sts::000000000000:assumed-role/r/me"
    assert issued.credential.expires_at_ms == 61_000
    assert sessions.find("ASIAOTHER", issued.session_token) is None
    assert Sessions(b"t" * 32).find(key_id, issued.session_token) is None
    assert sessions.find(key_id, issued.session_token[:-4] + "AAAA") is None
    assert sessions.find(key_id, "not base64!") is None

"""The append-only log of events.

The chain is declared, not only computed: a row refers to the one before it by position and hash, so that a gap, a fork
or a foreign predecessor is refused by the database whoever writes.
"""

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE registry_event (
            position bigint PRIMARY KEY CHECK (position > 0),
            time_ms bigint NOT NULL CHECK (time_ms > 0),
            operator text NOT NULL,
            reason text NOT NULL,
            kind text NOT NULL,
            payload text NOT NULL CHECK (payload IS JSON OBJECT),
            previous bytea NOT NULL CHECK (octet_length(previous) = 32),
            hash bytea NOT NULL UNIQUE CHECK (octet_length(hash) = 32),
            previous_position bigint GENERATED ALWAYS AS (nullif(position - 1, 0)) STORED,
            UNIQUE (position, hash),
            FOREIGN KEY (previous_position, previous) REFERENCES registry_event (position, hash),
            CHECK (position > 1 OR previous = decode(repeat('00', 32), 'hex'))
        )
        """
    )
    op.execute("CREATE INDEX registry_event_time ON registry_event (time_ms)")
    op.execute(
        """
        CREATE FUNCTION registry_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'the registry''s log is append-only: % refused', TG_OP
                USING ERRCODE = 'insufficient_privilege';
        END $$
        """
    )
    op.execute(
        """
        CREATE TRIGGER registry_event_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON registry_event
        FOR EACH STATEMENT EXECUTE FUNCTION registry_append_only()
        """
    )

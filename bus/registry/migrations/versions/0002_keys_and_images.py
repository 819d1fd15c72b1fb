"""Keys that were ever claimed, filled from the events so far; and files that events name by their digest."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE registry_key (
            key_id bytea PRIMARY KEY CHECK (octet_length(key_id) = 32),
            use text NOT NULL CHECK (use IN ('signing', 'tls')),
            subsystem text NOT NULL,
            position bigint NOT NULL REFERENCES registry_event (position)
        )
        """
    )
    op.execute(
        """
        INSERT INTO registry_key (key_id, use, subsystem, position)
        SELECT decode(payload::jsonb ->> 'key_id', 'hex'),
               CASE kind WHEN 'signing-key.added' THEN 'signing' ELSE 'tls' END,
               payload::jsonb ->> 'subsystem',
               position
        FROM registry_event WHERE kind IN ('signing-key.added', 'certificate.added')
        """
    )
    op.execute(
        """
        CREATE TABLE registry_attachment (
            digest bytea PRIMARY KEY CHECK (digest = sha256(content)),
            content bytea NOT NULL
        )
        """
    )
    for table in ("registry_key", "registry_attachment"):
        op.execute(
            f"""
            CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}
            FOR EACH STATEMENT EXECUTE FUNCTION registry_append_only()
            """
        )

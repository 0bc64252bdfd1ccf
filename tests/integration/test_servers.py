"""The fixtures that every integration test stands on."""

from __future__ import annotations

from services.messaging import admin_client
from services.storage import Database
from tests.integration.servers import Deployment, Servers


def test_a_deployment_has_its_topics_and_its_tables(deployment: Deployment) -> None:
    prefix = deployment.settings.topic_prefix
    admin = admin_client(deployment.settings, "test")
    try:
        topics = {topic for topic in admin.list_topics() if topic.startswith(prefix)}
    finally:
        admin.close()
    review = {"content.submitted", "content.submitted.dlq", "content.decided"}
    toy = {"toy.requested", "toy.requested.dlq", "toy.answered"}
    assert topics == {prefix + name for name in review | toy}
    with deployment.database() as database:
        assert _tables(database) >= {"review_decision", "toy_answer", "dead_letter"}


def test_two_deployments_share_neither_topics_nor_a_database(servers: Servers) -> None:
    one, other = servers.deploy(), servers.deploy(tenants="acme")
    assert one.settings.topic_prefix != other.settings.topic_prefix
    assert one.settings.postgres_dsn != other.settings.postgres_dsn
    assert other.settings.tenants == {"acme"}
    assert other.environment["TIDEGATE_TENANTS"] == "acme"


def _tables(database: Database) -> set[str]:
    with database.cursor("tables") as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        return {row[0] for row in cursor.fetchall()}

"""Kafka, three times: as the place where a log's events are, as a source of events, and as a sink for lists.

Nothing here joins a consumer group or commits an offset to Kafka. What was read is known by our own journal,
in the same transaction as what came of it, so no rebalance and no second run can move it. ``confluent_kafka``
is imported when the first client is made, and only then.
"""

"""What became of events on their way to Matomo: a log of deliveries, and the calls that were refused."""

from matomo_fn.catalogue.model import Column, ColumnType, Schema

_DAY = Column("date", ColumnType.DATE, "The day of logged_at, in UTC.", required=True)
_CONNECTOR = Column("connector", ColumnType.STRING, "The connector that the delivery was for.", required=True)
_MESSAGE = Column(
    "message_id",
    ColumnType.STRING,
    "The call's messageId; of one without, a hash of what was received.",
    required=True,
)
_LOGGED = Column("logged_at", ColumnType.TIMESTAMP, "When the row was written.", required=True)

EVENTS_LOG = Schema(
    "_events_log",
    "One row for each step of a call on its way to Matomo. Appended, never changed; rows older than dedupe_days are "
    "deleted.",
    (
        _DAY,
        _CONNECTOR,
        _MESSAGE,
        Column("batch_id", ColumnType.STRING, "The batch of the step: the run, and a number.", required=True),
        Column(
            "status",
            ColumnType.STRING,
            "sending: the batch is about to send it, or has no answer (see error); sent: it is in Matomo; not_sent: "
            "the batch gave it back; rejected: see _events_rejected; skipped: it becomes no hit, see error.",
            required=True,
        ),
        _LOGGED,
        Column(
            "valid_until",
            ColumnType.TIMESTAMP,
            "Of status sending: after that the batch sends nothing more of it.",
        ),
        Column("kind", ColumnType.STRING, "The kinds of hits that it becomes, such as event, goal."),
        Column("visitor", ColumnType.STRING, "What identifies its visitor: anonymousId, or else userId."),
        Column("occurred_at", ColumnType.TIMESTAMP, "When it happened, by the corrected clock of the sender."),
        Column("error", ColumnType.STRING, "Why it was not sent, is uncertain, was rejected or skipped."),
    ),
    clustering=("connector", "message_id"),
)
EVENTS_REJECTED = Schema(
    "_events_rejected",
    "One row for each call that is invalid or that Matomo refused. Rows older than dedupe_days are deleted.",
    (
        _DAY,
        _CONNECTOR,
        _MESSAGE,
        Column("batch_id", ColumnType.STRING, "The batch that it was in.", required=True),
        _LOGGED,
        Column(
            "reason", ColumnType.STRING, "What is wrong with it, or which of its hits Matomo refused.", required=True
        ),
        Column(
            "call",
            ColumnType.STRING,
            "The call as it was received: JSON text, so that no digit of it is rounded.",
        ),
    ),
    clustering=("connector", "message_id"),
)

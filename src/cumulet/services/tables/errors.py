"""The faults this service can answer with, and the words of those that several operations share."""

from typing import Any

from cumulet.core.errors import Fault


class TablesFault(Fault):
    """Every fault of this protocol is a 400 but for the node's own."""

    status = 400


class ValidationFault(TablesFault):
    """The request breaks a rule; the message is DynamoDB's."""

    code = "ValidationException"


class SerializationFault(TablesFault):
    """A value of the wrong JSON type: not what the protocol allows at that place."""

    code = "SerializationException"


class ConditionalCheckFailed(TablesFault):
    """`item`: the stored item, where the caller asked to be told what failed."""

    code = "ConditionalCheckFailedException"

    def __init__(self, message: str = "The conditional request failed", *, item: dict[str, Any] | None = None):
        super().__init__(message, fields={} if item is None else {"Item": item})
        self.item = item


class TransactionCanceled(TablesFault):
    """`reasons`: one a member of the transaction, in its order; `{"Code": "None"}` where that one was fine."""

    code = "TransactionCanceledException"

    def __init__(self, reasons: list[dict[str, Any]]):
        codes = ", ".join(reason["Code"] for reason in reasons)
        message = f"Transaction cancelled, please refer cancellation reasons for specific reasons [{codes}]"
        super().__init__(message, fields={"CancellationReasons": reasons})
        self.reasons = reasons


class TransactionConflict(TablesFault):
    code = "TransactionConflictException"


class TransactionInProgress(TablesFault):
    code = "TransactionInProgressException"


class IdempotentParameterMismatch(TablesFault):
    code = "IdempotentParameterMismatchException"


class DuplicateItem(TablesFault):
    """An INSERT of an item whose key is there already."""

    code = "DuplicateItemException"

    def __init__(self, message: str = "Duplicate primary key exists in table"):
        super().__init__(message)


class ResourceNotFound(TablesFault):
    code = "ResourceNotFoundException"

    def __init__(self, message: str = "Requested resource not found"):
        super().__init__(message)


class ResourceInUse(TablesFault):
    code = "ResourceInUseException"


class TableNotFound(TablesFault):
    code = "TableNotFoundException"


class TableInUse(TablesFault):
    code = "TableInUseException"


class TableAlreadyExists(TablesFault):
    code = "TableAlreadyExistsException"


class IndexNotFound(TablesFault):
    code = "IndexNotFoundException"


class LimitExceeded(TablesFault):
    code = "LimitExceededException"


class ItemCollectionSizeLimitExceeded(TablesFault):
    code = "ItemCollectionSizeLimitExceededException"

    def __init__(self, message: str = "Collection size exceeded."):
        super().__init__(message)


class ProvisionedThroughputExceeded(TablesFault):
    code = "ProvisionedThroughputExceededException"

    def __init__(
        self,
        message: str = (
            "The level of configured provisioned throughput for the table was exceeded. "
            "Consider increasing your provisioning level with the UpdateTable API."
        ),
        *,
        fields: dict[str, Any] | None = None,
    ):
        super().__init__(message, fields=fields)


class RequestLimitExceeded(TablesFault):
    code = "RequestLimitExceeded"


class Throttling(TablesFault):
    code = "ThrottlingException"


class BackupNotFound(TablesFault):
    code = "BackupNotFoundException"


class BackupInUse(TablesFault):
    code = "BackupInUseException"


class ContinuousBackupsUnavailable(TablesFault):
    code = "ContinuousBackupsUnavailableException"


class PointInTimeRecoveryUnavailable(TablesFault):
    code = "PointInTimeRecoveryUnavailableException"


class InvalidRestoreTime(TablesFault):
    code = "InvalidRestoreTimeException"


class PolicyNotFound(TablesFault):
    code = "PolicyNotFoundException"


class GlobalTableNotFound(TablesFault):
    code = "GlobalTableNotFoundException"


class ReplicaNotFound(TablesFault):
    code = "ReplicaNotFoundException"


class ReplicaAlreadyExists(TablesFault):
    code = "ReplicaAlreadyExistsException"


class TrimmedDataAccess(TablesFault):
    """A stream's record that is older than what is kept."""

    code = "TrimmedDataAccessException"


class ExpiredIterator(TablesFault):
    code = "ExpiredIteratorException"


class AccessDenied(TablesFault):
    code = "AccessDeniedException"

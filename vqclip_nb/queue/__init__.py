"""The queue: pictures that several people ask for, painted one after another in a fair order.

`store` keeps people and jobs in one file, `worker` paints jobs as ordinary run folders, `app` answers HTTP requests.
In the rest of the package, only the commands import this one.
"""

from vqclip_nb.queue.limits import Limits
from vqclip_nb.queue.records import Job, Person
from vqclip_nb.queue.store import Store

__all__ = ["Job", "Limits", "Person", "Store"]

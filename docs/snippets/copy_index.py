"""Copies an index from one Meilisearch to another endpoint: settings first, then documents, page by page.

pip install meilisearch
OLD_URL=... OLD_KEY=... NEW_URL=... NEW_KEY=... python copy_index.py INDEX
"""

import os
import sys

import meilisearch

PAGE = 1000
WAIT_MS = 600_000


def main(uid):
    old = meilisearch.Client(os.environ["OLD_URL"], os.environ["OLD_KEY"])
    new = meilisearch.Client(os.environ["NEW_URL"], os.environ["NEW_KEY"])
    source = old.get_index(uid)
    task = new.create_index(uid, {"primaryKey": source.primary_key})
    new.wait_for_task(task.task_uid, timeout_in_ms=WAIT_MS)
    target = new.index(uid)
    # Settings before documents: nothing is indexed twice.
    task = target.update_settings(source.get_settings())
    assert new.wait_for_task(task.task_uid, timeout_in_ms=WAIT_MS).status == "succeeded"
    copied, task = 0, None
    while documents := source.get_documents({"offset": copied, "limit": PAGE}).results:
        task = target.add_documents([dict(document) for document in documents])
        copied += len(documents)
    if task:
        # Tasks of an index succeed in their order, so that the last one stands for all.
        assert new.wait_for_task(task.task_uid, timeout_in_ms=WAIT_MS).status == "succeeded"
    found = target.get_stats().number_of_documents
    assert found == copied, f"{copied} documents were copied, and {found} are there"
    print(f"{copied} documents copied")


main(sys.argv[1])

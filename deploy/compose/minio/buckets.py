"""Makes the buckets that are named as arguments; those that exist stay as they are.

The store and its keys: AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY.
"""

from __future__ import annotations

import os
import sys
from urllib.parse import urlsplit

from pyarrow.fs import FileType, S3FileSystem


def main(buckets: list[str]) -> None:
    endpoint = urlsplit(os.environ["AWS_ENDPOINT_URL"])
    store = S3FileSystem(
        endpoint_override=endpoint.netloc,
        scheme=endpoint.scheme,
        region=os.environ["AWS_REGION"],
        allow_bucket_creation=True,
        connect_timeout=10,
        request_timeout=30,
    )
    for bucket in buckets:
        if store.get_file_info(bucket).type is FileType.NotFound:
            store.create_dir(bucket)
            print(f"made the bucket {bucket}")
        else:
            print(f"the bucket {bucket} is there")


if __name__ == "__main__":
    main(sys.argv[1:])

"""Creates the buckets that the arguments name, unless they exist.

AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are the address of the store and the keys to
it.
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
            print(f"created the bucket {bucket}")
        else:
            print(f"the bucket {bucket} exists")


if __name__ == "__main__":
    main(sys.argv[1:])

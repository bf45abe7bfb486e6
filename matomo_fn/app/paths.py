"""The paths of the function over HTTP that are not /."""

COLLECT = "/collect/"

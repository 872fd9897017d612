"""Every limit on untrusted input, by name. SPEC.md section "Limits" lists the same numbers."""

MIB = 1024 * 1024

MAX_BODY_BYTES = 1 * MIB  # the msgpack part of one message
MAX_PARTS = 16  # parts of one message, envelope and body included
MAX_PART_BYTES = 64 * MIB  # one ZeroMQ part (ZMQ_MAXMSGSIZE)
CHUNK_BYTES = 4 * MIB  # one upload chunk; a part is whole in memory before it is delivered
MAX_ASSET_BYTES = 4096 * MIB
MAX_ARRAY_BYTES = 64 * MIB  # one array once unpacked: a map of MAX_SIDE x MAX_SIDE with 4 bytes a pixel
MAX_IMAGE_BYTES = 128 * MIB  # one encoded picture
MAX_SOUND_BYTES = 1024 * MIB  # one sound file: an hour of 24-bit stereo at 48 kHz
MAX_VIDEO_BYTES = 2048 * MIB  # one film
MAX_ASSETS_PER_QUERY = 8192
MAX_ASSETS_PER_JOB = 65536
MAX_CHARACTERS = 16
MAX_LORAS = 16
MAX_PROMPT_CHARS = 8000
MAX_NAME_CHARS = 200
MAX_FRAMES = 4096
MAX_OVERLAP = 64  # frames that a redone part and the clip around it are blended over
MIN_SIDE = 64
MAX_SIDE = 4096
MAX_FPS = 120.0
MAX_SEED = 2**63 - 1
MAX_JOBS_PER_CLIENT = 256
START_CREDIT_BYTES = 16 * MIB
MAX_CREDIT_BYTES = 256 * MIB
CLIENT_EXPIRY_S = 30.0
PING_AFTER_S = 2.0
PING_MISSES = 3

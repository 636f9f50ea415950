# shellcheck shell=bash
# Settings of `make run` from the environment and .env.  Sourced after
# util/lib.sh.

IV_NAMES=(R2_ACCOUNT_ID R2_ACCESS_KEY_ID R2_SECRET_ACCESS_KEY R2_BUCKET_NAME
          R2_BUCKET R2_ENDPOINT R2_REGION R2_PUBLIC_URL
          AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_REGION AWS_S3_BUCKET
          S3_BUCKET AWS_ENDPOINT_URL MONGODB_URI MONGODB_DB_NAME
          SIGNED_URL_EXPIRY S3_PRESIGNED_URL_EXPIRY UPLOAD_MAX_SIZE
          UPLOAD_MAX_FILES)


# Reads NAME=value lines of file $1 for the names above; what the environment
# has wins.  The file is data: nothing in it is expanded or run.
iv_dotenv() {
    local line name value known

    [ -f "$1" ] || return 0
    [ -r "$1" ] || die "can't read $1"

    while IFS= read -r line || [ -n "$line" ]; do
        line=${line%$'\r'}
        [[ $line =~ ^[[:space:]]*(export[[:space:]]+)?([A-Z][A-Z0-9_]*)[[:space:]]*=[[:space:]]*(.*)$ ]] \
            || continue
        name=${BASH_REMATCH[2]}
        value=${BASH_REMATCH[3]}

        if [[ $value =~ ^\"([^\"]*)\" || $value =~ ^\'([^\']*)\' ]]; then
            value=${BASH_REMATCH[1]}
        else
            value=${value%%[[:space:]]#*}
            value=${value%"${value##*[![:space:]]}"}
        fi

        for known in "${IV_NAMES[@]}"; do
            if [ "$name" = "$known" ] && [ -z "${!name:-}" ] \
                && [ -n "$value" ]
            then
                export "$name=$value"
            fi
        done
    done <"$1"
}


# From those names to what examples/storage-s3.conf and util/doctor read:
# IMAGE_VAULT_S3_{ENDPOINT,REGION,BUCKET,KEY,SECRET}.  Without any credentials
# they stay unset.
iv_s3_settings() {
    local region

    if [ -n "${R2_ACCESS_KEY_ID:-}${R2_SECRET_ACCESS_KEY:-}" ]; then
        iv_need R2_ACCESS_KEY_ID R2_SECRET_ACCESS_KEY
        [ -n "${R2_ENDPOINT:-}${R2_ACCOUNT_ID:-}" ] \
            || die "R2_ACCOUNT_ID (or R2_ENDPOINT) is not set: it stands in Cloudflare's dashboard under R2"
        [ -n "${R2_BUCKET_NAME:-}${R2_BUCKET:-}" ] \
            || die "R2_BUCKET_NAME is not set"

        export IMAGE_VAULT_S3_KEY=$R2_ACCESS_KEY_ID
        export IMAGE_VAULT_S3_SECRET=$R2_SECRET_ACCESS_KEY
        export IMAGE_VAULT_S3_BUCKET=${R2_BUCKET_NAME:-${R2_BUCKET:-}}
        export IMAGE_VAULT_S3_REGION=${R2_REGION:-auto}
        export IMAGE_VAULT_S3_ENDPOINT=${R2_ENDPOINT:-https://${R2_ACCOUNT_ID:-}.r2.cloudflarestorage.com}

    elif [ -n "${AWS_ACCESS_KEY_ID:-}${AWS_SECRET_ACCESS_KEY:-}" ]; then
        iv_need AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
        [ -n "${AWS_S3_BUCKET:-}${S3_BUCKET:-}" ] \
            || die "AWS_S3_BUCKET (or S3_BUCKET) is not set"

        region=${AWS_REGION:-us-east-1}
        export IMAGE_VAULT_S3_KEY=$AWS_ACCESS_KEY_ID
        export IMAGE_VAULT_S3_SECRET=$AWS_SECRET_ACCESS_KEY
        export IMAGE_VAULT_S3_BUCKET=${AWS_S3_BUCKET:-${S3_BUCKET:-}}
        export IMAGE_VAULT_S3_REGION=$region
        export IMAGE_VAULT_S3_ENDPOINT=${AWS_ENDPOINT_URL:-https://s3.$region.amazonaws.com}

    else
        return 0
    fi

    # an endpoint with the bucket as its path, as dashboards show it
    IMAGE_VAULT_S3_ENDPOINT=${IMAGE_VAULT_S3_ENDPOINT%/}
    IMAGE_VAULT_S3_ENDPOINT=${IMAGE_VAULT_S3_ENDPOINT%"/$IMAGE_VAULT_S3_BUCKET"}

    if [ -n "${R2_PUBLIC_URL:-}" ]; then
        say "R2_PUBLIC_URL is left aside: a bucket that anyone can read by key"
        say "holds no private images (public_url and public_only, docs/DIRECTIVES.md)"
    fi
}


iv_need() {
    local name

    for name; do
        [ -n "${!name:-}" ] || die "$name is not set"
    done
}


# IMAGE_VAULT_URL_EXPIRY and IMAGE_VAULT_MAX_SIZE from the limits' names:
# seconds, and bytes or 10M, 10MB
iv_limits() {
    local expiry=${SIGNED_URL_EXPIRY:-${S3_PRESIGNED_URL_EXPIRY:-}}
    local size=${UPLOAD_MAX_SIZE:-}

    if [ -n "$expiry" ]; then
        [[ $expiry =~ ^[0-9]+[smhd]?$ ]] \
            || die "SIGNED_URL_EXPIRY=$expiry: seconds, or a time as 1h"
        export IMAGE_VAULT_URL_EXPIRY=$expiry
    fi

    if [ -n "$size" ]; then
        [[ $size =~ ^([0-9]+)\ *([kKmMgG]?)[iI]?[bB]?$ ]] \
            || die "UPLOAD_MAX_SIZE=$size: bytes, or a size as 10m"
        export IMAGE_VAULT_MAX_SIZE=${BASH_REMATCH[1]}${BASH_REMATCH[2],,}
    fi

    if [ -n "${UPLOAD_MAX_FILES:-}" ]; then
        say "UPLOAD_MAX_FILES is left aside: uploads carry one image each"
    fi
}

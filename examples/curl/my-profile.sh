#!/bin/sh
# Changes and reads the profile of whoever the token is of (UpdateMyProfile, GetMyProfile): no role is needed.
#   my-profile.sh <displayName>                         Environment: PROFILE_URL, PROFILE_TOKEN
set -eu
curl --silent --show-error --fail-with-body -X PUT "$PROFILE_URL/auth/v1/users/me/profile" \
  -H "Authorization: Bearer $PROFILE_TOKEN" -H 'Content-Type: application/json' \
  -d '{"firstName":"Mia","lastName":"Mouse","displayName":"'"$1"'"}'
echo
curl --silent --show-error --fail-with-body "$PROFILE_URL/auth/v1/users/me/profile" \
  -H "Authorization: Bearer $PROFILE_TOKEN"

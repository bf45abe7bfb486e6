#!/bin/sh
# Makes in a project what has to be there before Terraform: the APIs that Terraform itself asks, and the bucket of its state.
# With --cloud-build also the three accounts that Cloud Build's triggers run by. Run again, it changes nothing.
#
#   terraform/bootstrap.sh [--cloud-build] PROJECT [REGION]
set -eu

usage() {
  echo 'usage: terraform/bootstrap.sh [--cloud-build] PROJECT [REGION]' >&2
  exit 2
}

cloud_build=false
if [ "${1-}" = --cloud-build ]; then
  cloud_build=true
  shift
fi
case "${1-}" in '' | -*) usage ;; esac
[ $# -le 2 ] || usage
project=$1
region=${2-europe-west1}
# Cloud Build's default for _STATE_BUCKET (cloudbuild/*.yaml) is the same name.
bucket=$project-matomo-fn-terraform

command -v gcloud >/dev/null || {
  echo 'gcloud is not there: https://cloud.google.com/sdk/docs/install' >&2
  exit 1
}

gcloud services enable cloudresourcemanager.googleapis.com iam.googleapis.com serviceusage.googleapis.com \
  storage.googleapis.com --project="$project"

if gcloud storage buckets describe "gs://$bucket" --project="$project" >/dev/null 2>&1; then
  echo "gs://$bucket is there."
else
  gcloud storage buckets create "gs://$bucket" --project="$project" --location="$region" \
    --uniform-bucket-level-access --public-access-prevention
fi
# An older state is kept: it is the way back from a broken one.
gcloud storage buckets update "gs://$bucket" --versioning

if [ "$cloud_build" = true ]; then
  gcloud services enable cloudbuild.googleapis.com --project="$project"

  # Runs what a pull request brings: tests, and the packages that they install. It may write its log and nothing else.
  check='logging.logWriter'

  # Plans what a pull request brings. It may look at everything that Terraform manages, and change none of it. It reads no
  # secret's value and no row. Terraform's state has neither.
  plan='artifactregistry.reader bigquery.metadataViewer browser cloudfunctions.viewer cloudkms.viewer
    cloudscheduler.viewer compute.networkViewer iam.securityReviewer iam.serviceAccountViewer logging.logWriter
    logging.viewer monitoring.viewer pubsub.viewer run.viewer secretmanager.viewer
    serviceusage.serviceUsageViewer storage.bucketViewer'

  # Applies what was merged.
  deploy='artifactregistry.admin bigquery.admin cloudfunctions.admin cloudkms.admin cloudscheduler.admin
    compute.networkAdmin iam.serviceAccountAdmin iam.serviceAccountUser logging.configWriter logging.logWriter
    monitoring.editor pubsub.admin resourcemanager.projectIamAdmin run.admin secretmanager.admin
    serviceusage.serviceUsageAdmin storage.admin'

  for job in check plan deploy; do
    account=matomo-fn-$job@$project.iam.gserviceaccount.com
    if ! gcloud iam service-accounts describe "$account" --project="$project" >/dev/null 2>&1; then
      gcloud iam service-accounts create "matomo-fn-$job" --project="$project" \
        --display-name="matomo-fn: Cloud Build, $job"
    fi
    eval "roles=\$$job"
    for role in $roles; do
      gcloud projects add-iam-policy-binding "$project" --member="serviceAccount:$account" --role="roles/$role" \
        --condition=None --quiet >/dev/null
      echo "matomo-fn-$job: roles/$role"
    done
  done

  # The state and the source archive, and no other object of the project.
  prefix=projects/_/buckets/$project-matomo-fn-
  gcloud projects add-iam-policy-binding "$project" \
    --member="serviceAccount:matomo-fn-plan@$project.iam.gserviceaccount.com" --role=roles/storage.objectViewer \
    --condition="title=matomo-fn,expression=resource.name.startsWith(\"$prefix\")" --quiet >/dev/null
  echo "matomo-fn-plan: roles/storage.objectViewer on gs://$project-matomo-fn-*"
fi

echo "Next: terraform init -backend-config=bucket=$bucket"

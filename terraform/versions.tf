terraform {
  # 1.9: a variable's validation may look at other variables.
  required_version = ">= 1.9"

  required_providers {
    archive = {
      source  = "hashicorp/archive"
      version = "~> 2.7"
    }
    # 7.33: a dataset's deletion_policy.
    google = {
      source  = "hashicorp/google"
      version = "~> 7.33"
    }
    time = {
      source  = "hashicorp/time"
      version = "~> 0.13"
    }
  }
}

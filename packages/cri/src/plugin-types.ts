/**
 * The plugins of this package, by containerd's names.
 *
 * @module
 */
import type { PluginRef, PluginType } from "@ctrd/core/plugin";
import { pluginRef, pluginType } from "@ctrd/core/plugin";
import { MetricsPlugin } from "@ctrd/services";
import type { RuntimeConfig } from "./config/runtime-config.ts";
import type { CriImages } from "./images/cri-images.ts";
import type { CriMetrics } from "./metrics.ts";
import type { SpecEnvironment } from "./spec/index.ts";

const CriPlugin: PluginType<unknown> = pluginType("io.containerd.cri.v1");

/** How pods and containers are configured, and what their specs depend on. */
export interface CriRuntime {
  readonly config: RuntimeConfig;
  specs(): Promise<SpecEnvironment>;
}

/** The image side of CRI. */
export interface CriImagesOpener {
  images(): Promise<CriImages>;
}

/** What CRI knows of images. */
export const CriImagesPlugin: PluginRef<CriImagesOpener> = pluginRef(CriPlugin, "images");
/** What CRI counts. */
export const CriMetricsPlugin: PluginRef<CriMetrics> = pluginRef(MetricsPlugin, "cri");
/** How pods and containers are configured. */
export const CriRuntimePlugin: PluginRef<CriRuntime> = pluginRef(CriPlugin, "runtime");
